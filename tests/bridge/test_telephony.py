"""A call as telephone providers stream it: heard as the same audio by gRPC, refused in clear words."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from google.protobuf import json_format

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import tokens
from tests.bridge.conftest import Both
from tests.bridge.test_stream import TALK, comparable
from tests.support.bridge import Socket, connected, running_bridge
from tests.support.wire import END, chunks, config, converse, finals, running_server

FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1}
PATH = "/v1/telephony"


def mulaw(samples: Any) -> bytes:
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, 8_000, format="RAW", subtype="ULAW")
    return encoded.getvalue()


AUDIO = mulaw(TALK[: len(TALK) // 2 * 2].reshape(-1, 2).mean(axis=1).astype(np.int16))
SILENCE = b"\xff" * len(AUDIO)


def start(**parameters: Any) -> dict[str, Any]:
    started = {"callSid": "CA1", "mediaFormat": FORMAT, "customParameters": parameters}
    return {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": started}


def media(data: bytes, at_ms: int, track: str = "inbound") -> dict[str, Any]:
    payload = base64.b64encode(data).decode()
    return {"event": "media", "media": {"track": track, "timestamp": str(at_ms), "payload": payload}}


def frames(data: bytes, begin_ms: int = 0, track: str = "inbound") -> list[dict[str, Any]]:
    return [media(data[i : i + 160], begin_ms + i // 8, track) for i in range(0, len(data), 160)]


STOP = {"event": "stop", "stop": {"callSid": "CA1"}}


async def called(address: str, *messages: Any, **options: Any) -> tuple[Socket, int | None]:
    async with connected(address, PATH, protocols=(), **options) as socket:
        await socket.send(*messages)
        code = await socket.to_the_end()
    return socket, code


def spans(messages: list[dict[str, Any]], track: str = "inbound") -> list[tuple[str, str]]:
    rows = [m["affect"] for m in messages if m.get("event") == "affect" and m["track"] == track]
    return [(row["audioStart"], row["audioEnd"]) for row in rows]


async def test_a_call_sounds_as_its_audio_does_over_grpc(both: Both) -> None:
    raw = [config(pb.AUDIO_ENCODING_MULAW, 8_000), *chunks(AUDIO, 160), END]
    expected = [comparable(final) for final in finals(await converse(both.server.address, raw))]
    messages = [m for pair in zip(frames(AUDIO), frames(SILENCE, 0, "outbound"), strict=True) for m in pair]
    hello = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    extra = {"event": "dtmf", "dtmf": {"digit": "1"}}
    begin = start(affectstream_events="affect")
    socket, code = await called(both.bridge.address, hello, begin, extra, *messages, STOP)
    assert code == 1000
    told = [json_format.ParseDict(m["affect"], pb.AffectEvent()) for m in socket.messages]
    assert [comparable(final) for final in told] == expected
    assert len(expected) >= 3
    assert {(m["event"], m["streamSid"], m["sessionId"]) for m in socket.messages} == {
        ("affect", "MZ1", "CA1")
    }


async def test_both_tracks_are_heard_apart(address: str) -> None:
    half = len(AUDIO) // 320 * 160
    inbound = frames(AUDIO[:half] + SILENCE[half:])
    outbound = frames(SILENCE[:half] + AUDIO[half:], 0, "outbound")
    messages = [m for pair in zip(inbound, outbound, strict=True) for m in pair]
    begin = start(affectstream_analyze="both", affectstream_events="affect")
    socket, code = await called(address, begin, *messages, STOP)
    assert code == 1000
    assert spans(socket.messages)
    assert spans(socket.messages, "outbound")
    assert all(float(end[:-1]) <= half / 8_000 + 1 for _, end in spans(socket.messages))
    assert all(float(begin[:-1]) >= half / 8_000 - 1 for begin, _ in spans(socket.messages, "outbound"))


async def test_missing_audio_is_a_gap_and_labels_come_back(address: str) -> None:
    messages = [*frames(AUDIO[:16_000], 500), *frames(AUDIO[16_000:32_000], 7_500)]
    begin = start(
        affectstream_label_queue="returns", affectstream_events="all", affectstream_consent="contract"
    )
    socket, code = await called(address, begin, *messages, STOP)
    assert code == 1000
    assert socket.messages[0]["sessionStarted"]["labels"] == {"queue": "returns"}
    (gap,) = (m["gap"] for m in socket.messages if m["event"] == "gap")
    assert gap == {"audioStart": "2s", "audioEnd": "7s"}
    assert socket.messages[-1]["event"] == "sessionClosed"


async def test_a_provider_that_did_not_ask_is_sent_nothing_that_it_does_not_know(address: str) -> None:
    for begin in (start(), start(affectstream_events="none")):
        socket, code = await called(address, begin, *frames(AUDIO[:32_000]), STOP)
        assert (socket.messages, code) == ([], 1000)


async def test_what_is_not_for_the_bridge_is_nobodys_label(address: str) -> None:
    others = {
        "crm_url": f"https://crm.example.org/{'7' * 80}",
        "api_key": "secret",
        "tries": 3,
        "half": "\ud800",
    }
    others |= {f"more_{number}": "x" for number in range(20)}
    begin = start(affectstream_events="all", affectstream_label_queue="returns", **others)
    socket, code = await called(address, begin, STOP)
    assert code == 1000
    assert socket.messages[0]["sessionStarted"]["labels"] == {"queue": "returns"}
    assert "secret" not in str(socket.messages)


async def test_a_token_by_header_or_by_parameter(tmp_path: Path) -> None:
    secret, line = tokens.make("acme", "calls", None)
    (tmp_path / "tokens.yaml").write_text(line)
    access = {"auth": {"tokens_file": str(tmp_path / "tokens.yaml")}}
    async with running_server(access) as server, running_bridge(server.address) as bridge:
        _, code = await called(bridge.address, start(), STOP, headers={"Authorization": f"Bearer {secret}"})
        assert code == 1000
        begin = start(affectstream_token=secret, affectstream_events="all")
        socket, code = await called(bridge.address, begin, STOP)
        assert code == 1000
        assert secret not in str(socket.messages)
        socket, code = await called(bridge.address, start(affectstream_token="wrong"), STOP)  # noqa: S106
        assert (socket.error["reason"], code) == ("TOKEN_NOT_ACCEPTED", 4401)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ((b"\xff" * 160,), "message"),
        (("hello",), "message"),
        (({"start": {}},), "event"),
        (({"event": "start"},), "start"),
        ((media(b"\xff", 0),), "event"),
        ((start(), start()), "event"),
        (({"event": "start", "start": {"mediaFormat": {"encoding": "opus"}}},), "start.mediaFormat.encoding"),
        (
            ({"event": "start", "start": {"mediaFormat": {"sampleRate": 1e9}}},),
            "start.mediaFormat.sampleRate",
        ),
        (({"event": "start", "start": {"mediaFormat": {"channels": 2}}},), "start.mediaFormat.channels"),
        ((start(affectstream_analyse="both"),), "start.customParameters"),
        ((start(affectstream_label_a=1),), "start.customParameters.affectstream_label_a"),
        ((start(affectstream_label_a="7" * 65),), "config.labels[a]"),
        ((start(**{"affectstream_label_\ud800": "a"}),), "start.customParameters"),
        ((start(affectstream_analyze="all"),), "start.customParameters.affectstream_analyze"),
        ((start(), {"event": "media", "media": {"payload": "%%%"}}), "media.payload"),
        ((start(), {"event": "media", "media": {}}), "media.payload"),
        ((start(), media(bytes(8_001), 0)), "media.payload"),
        ((start(), {"event": "media", "media": {"payload": "", "timestamp": "soon"}}), "media.timestamp"),
    ],
)
async def test_what_is_wrong_is_named(address: str, messages: tuple[Any, ...], field: str) -> None:
    socket, code = await called(address, *messages)
    assert (code, socket.error["field"]) == (4400, field)
    assert re.match(rf"{re.escape(field)}: got .+, expected .+", socket.error["message"])
