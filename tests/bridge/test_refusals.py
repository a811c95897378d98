"""Every wrong message has a clean answer that names what was wrong, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectstream.bridge.telephony import TelephonySpeech
from affectstream.errors import AffectStreamError, InvalidRequest, Unauthenticated
from tests.bridge.conftest import Both
from tests.support.bridge import CONFIG, END, connected, ended, running_bridge

STARTED = {"config": CONFIG}


def told(error: dict[str, Any]) -> tuple[str, str]:
    return error["reason"], error.get("field", "")


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        ("no json at all", "MALFORMED_MESSAGE", "message"),
        ("[1, 2]", "MALFORMED_MESSAGE", "message"),
        ("[" * 20_000, "MALFORMED_MESSAGE", "message"),
        ({"config": {"audio": {"sampleRate": 16_000}}}, "MALFORMED_MESSAGE", "config.audio.sampleRate"),
        ({"config": {"audio": {"encoding": "PCM"}}}, "MALFORMED_MESSAGE", "config.audio.encoding"),
        ({"config": {"audio": {"sampleRateHz": -1}}}, "MALFORMED_MESSAGE", "config.audio.sample_rate_hz"),
        ({"config": {"channels": [{}, {"index": "x"}]}}, "MALFORMED_MESSAGE", "config.channels[1].index"),
        ({"config": {"labels": 3}}, "MALFORMED_MESSAGE", "config.labels"),
        ({"config": CONFIG, "control": {}}, "MALFORMED_MESSAGE", "message"),
        ({"config": CONFIG | {"sessionId": "\ud800"}}, "MALFORMED_MESSAGE", "config.session_id"),
        ({"config": CONFIG | {"a\ud800": 1}}, "MALFORMED_MESSAGE", "config.a\\ud800"),
        (b"\0" * 640, "CONFIG_MUST_BE_FIRST", ""),
        (END, "CONFIG_MUST_BE_FIRST", ""),
        ({"config": {"audio": CONFIG["audio"] | {"sampleRateHz": 4_000}}}, "", "config.audio.sample_rate_hz"),
    ],
)
async def test_a_wrong_first_message(address: str, message: Any, reason: str, field: str) -> None:
    error, code = await ended(address, message)
    assert (error["status"], code) == ("INVALID_ARGUMENT", 4400)
    assert reason in ("", error["reason"])
    assert field in ("", error["field"])
    assert "Error" not in error["message"]
    assert "Traceback" not in error["message"]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"audio": {"data": "not base64!"}}, "audio.data"),
        ({"audio": {"data": "AA*AA="}}, "audio.data"),
        ({"audio": ""}, "audio"),
        ({"audio": []}, "audio"),
        ({"control": {"position": 3}}, "control.position"),
        (STARTED, ""),
        (bytes(641), ""),
        (bytes(2 * 16_000 + 2), ""),
    ],
)
async def test_a_wrong_later_message(address: str, message: Any, field: str) -> None:
    error, code = await ended(address, STARTED, message)
    assert code == 4400
    assert field in ("", error["field"])


async def test_too_large(address: str) -> None:
    error, code = await ended(address, STARTED, bytes(100_000))
    assert (told(error), code) == (("MESSAGE_TOO_LARGE", "request"), 4429)
    assert error["limit"] == "65536 bytes"
    assert await ended(address, STARTED, bytes(300_000)) in (({}, 1009), ({}, 1006))


async def test_what_was_secret_is_not_repeated(address: str) -> None:
    resume = {"sessionId": "s", "resumeToken": "not-base64-but-secret!"}
    error, code = await ended(address, {"config": CONFIG | {"resume": resume}})
    assert (error["field"], code) == ("config.resume.resume_token", 4400)
    assert "secret" not in str(error)


async def test_a_session_that_is_over_cannot_be_resumed(address: str) -> None:
    resume = {"sessionId": "gone", "resumeToken": "AAAA"}
    error, code = await ended(address, {"config": CONFIG | {"resumable": True, "resume": resume}})
    assert (error["reason"], code) == ("SESSION_NOT_FOUND", 4404)


async def test_an_id_that_is_taken(address: str) -> None:
    async with connected(address) as socket:
        await socket.send({"config": CONFIG | {"sessionId": "mine"}})
        await socket.event("sessionStarted")
        error, code = await ended(address, {"config": CONFIG | {"sessionId": "mine"}})
        assert (error["reason"], code) == ("SESSION_EXISTS", 4409)


async def test_nothing_is_answered_in_time(both: Both) -> None:
    async with running_bridge(both.server.address, config_s=0.2) as bridge:
        error, code = await ended(bridge.address)
    assert (error["reason"], error["value"], code) == ("CONFIG_MUST_BE_FIRST", "nothing within 0.2 s", 4400)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["config", "audio", "control", "data", "resume", "encoding", "labels", "endpointing"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.text(max_size=200)
    | st.binary(max_size=2_000)
    | st.dictionaries(st.text(max_size=8), JSON)
    | JSON.map(lambda inner: {"config": inner}),
    min_size=1,
    max_size=4,
)


@pytest.mark.fault("garbage")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES, configured=st.booleans())
def test_nothing_breaks_it(both_in_a_thread: str, messages: list[Any], configured: bool) -> None:
    async def converse() -> None:
        async with connected(both_in_a_thread) as socket:
            for message in [STARTED, *messages, "the end"] if configured else [*messages, "the end"]:
                if socket.socket.closed:
                    break
                try:
                    await socket.send(message)
                except ConnectionError:
                    break
            code = await socket.to_the_end()
        assert code in {4400, 4404, 4412, 4429, 4501}, (code, socket.error)
        assert set(socket.error) <= {"status", "reason", "message", "field", "value", "limit", "retryAfterS"}
        assert socket.error["reason"] not in ("", "INTERNAL_FAULT")
        assert not any(mark in socket.error["message"] for mark in ("Traceback", "Failed to parse", "Errno"))

    asyncio.run(converse())


PIECES = st.one_of(
    st.fixed_dictionaries({"event": st.sampled_from(["start", "media", "stop", "mark", ""])}).flatmap(
        lambda base: st.dictionaries(
            st.sampled_from(["start", "media", "streamSid"]),
            JSON
            | st.dictionaries(
                st.sampled_from(
                    ["payload", "timestamp", "track", "callSid", "mediaFormat", "customParameters"]
                ),
                JSON | st.sampled_from(["AAAA", "7", "inbound"]),
            ),
        ).map(lambda more: base | more)
    ),
    st.text(max_size=20),
)


@pytest.mark.fault("garbage")
@settings(max_examples=60, deadline=None)
@given(messages=st.lists(PIECES, max_size=6), begun=st.booleans())
def test_nothing_breaks_a_call(messages: list[Any], begun: bool) -> None:
    speech = TelephonySpeech("")
    if begun:
        speech.requests(json.dumps({"event": "start", "start": {}}))
    for message in messages:
        told: AffectStreamError | None = None
        try:
            requests = speech.requests(message if isinstance(message, str) else json.dumps(message))
        except (InvalidRequest, Unauthenticated) as error:
            requests, told = [], error
        assert told is None or told.reason
        assert not any(mark in str(told) for mark in ("Traceback", "Error(", "Failed to parse"))
        assert sum(request.ByteSize() for request in requests) < 70_000
