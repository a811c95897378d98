"""What the adapters share, against real servers: it never waits, and finds its way back."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from affectstream import AffectClient, AudioFormat, Endpointing, StreamConfig
from affectstream.contract import EMOTIONS
from affectstream.enums import EndpointingMode
from affectstream.events import AffectEvent, Event
from affectstream.integrations.hearing import Hearing
from affectstream_server.lifecycle import Server
from affectstream_server.settings import load
from tests.support.speech import sample_talk
from tests.support.waiting import waiting
from tests.support.wire import running_server
from tests.unit.tone.policies import policy, rule, source

RATE = 16_000
UPSET = slice(round(10.6 * RATE), round(13.8 * RATE))
CALLER = StreamConfig(endpointing=Endpointing(mode=EndpointingMode.CALLER))


@asynccontextmanager
async def server_at(port: int = 0) -> AsyncIterator[str]:
    server = Server(load(environ={}, overrides={"server": {"address": f"127.0.0.1:{port}", "drain_s": 0.1}}))
    await server.start()
    try:
        yield server.address
    finally:
        await server.drain_and_stop()


@asynccontextmanager
async def hearing(server: str | AffectClient, config: StreamConfig = CALLER) -> AsyncIterator[Hearing]:
    heard = Hearing(server, AudioFormat(), config)
    try:
        yield heard
    finally:
        await heard.close()


async def say(heard: Hearing, place: slice, speed: float = 20.0) -> None:
    samples = sample_talk()[place]
    for start in range(0, len(samples), 320):
        heard.hear(samples[start : start + 320].tobytes())
        await asyncio.sleep(0.02 / speed)


async def until_connected(heard: Hearing) -> None:
    async with asyncio.timeout(30):
        while not heard.connected:
            heard.hear(bytes(640))
            await asyncio.sleep(0.02)


async def test_what_was_said_before_the_stream_was_open_is_heard() -> None:
    async with server_at() as address, hearing(address) as heard:
        heard.hear(sample_talk()[UPSET].tobytes()[: 2 * RATE])
        heard.speech_started(ago_s=0.9)
        await say(heard, slice(UPSET.start + RATE, UPSET.stop))
        heard.speech_ended(ago_s=0.0)
        event = await heard.affect(5)
        assert event is not None
        assert event.top_label == "angry"
        assert event.duration.seconds == pytest.approx(3.1, abs=1e-6)
        assert heard.dropped_s == 0


async def test_a_final_has_the_guidance_of_the_callers_policy_else_the_servers(tmp_path: Path) -> None:
    always = {"value": "arousal", "enter_above": 0.0}
    remembers = policy(rule("again", always, enter_after=2))
    (tmp_path / "policy.yaml").write_text(source(rule("spoken", always)))
    served = str(tmp_path / "policy.yaml")
    for server_policy, own, expected in (
        ("off", remembers, [None, "again"]),
        (served, remembers, [None, "again"]),
        (served, None, ["spoken", "spoken"]),
    ):
        told: list[AffectEvent] = []

        async def listen(event: Event, told: list[AffectEvent] = told) -> None:
            if isinstance(event, AffectEvent) and event.is_final:
                told.append(event)

        trusting = {"min_probability": dict.fromkeys(EMOTIONS, 0.0)}
        async with running_server({"guidance": {"policy": server_policy}, "scoring": trusting}) as server:
            heard = Hearing(server.address, AudioFormat(), CALLER, listen, own)
            try:
                await until_connected(heard)
                for count in (1, 2):
                    heard.speech_started(ago_s=0.0)
                    await say(heard, UPSET)
                    heard.speech_ended(ago_s=0.0)
                    async with asyncio.timeout(30):
                        while len(told) < count:
                            await asyncio.sleep(0.01)
                            heard.hear(bytes(640))
            finally:
                await heard.close()
        assert [event.guidance.rule if event.guidance else None for event in told] == expected


async def test_an_answered_turn_is_over() -> None:
    async with server_at() as address, AffectClient(address) as client, hearing(client) as heard:
        heard.hear(bytes(640))
        heard.speech_started(ago_s=0.0)
        await say(heard, UPSET)
        heard.speech_ended(ago_s=0.0)
        assert await heard.affect(5) is not None
        heard.answered()
        assert not heard.is_unanswered
        assert await heard.affect(5) is None


async def test_a_peer_that_never_answers_costs_no_time_and_bounded_memory() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        async with hearing(f"{host}:{port}") as heard, waiting() as waited:
            for _ in range(60 * 50):
                heard.hear(bytes(640))
                await asyncio.sleep(0)
            heard.speech_started(ago_s=1.0)
            heard.speech_ended(ago_s=0.0)
            assert await heard.affect(5) is None
            assert waited.seconds < 2.5, "nothing is waited for without a connection"
            assert heard.position == 60 * RATE
            assert heard.dropped_s == pytest.approx(58)


async def test_an_utterance_goes_on_where_the_next_server_begins(caplog: pytest.LogCaptureFixture) -> None:
    async with server_at() as address:
        port = int(address.rsplit(":", 1)[1])
        heard = Hearing(address, AudioFormat(), CALLER)
        await until_connected(heard)
        heard.speech_started(ago_s=0.0)
        await say(heard, slice(0, RATE))
    async with asyncio.timeout(30):
        while heard.connected:
            await asyncio.sleep(0.01)
    async with server_at(port):
        await until_connected(heard)
        await say(heard, UPSET)
        heard.speech_ended(ago_s=0.0)
        event = await heard.affect(5)
        await heard.close()
    assert event is not None
    assert event.status.name == "OK"  # type: ignore[union-attr]
    assert event.duration.seconds >= 3.2
    assert [record.levelno for record in caplog.records if record.name.startswith("affectstream.int")][
        :1
    ] == [logging.WARNING]


async def test_a_listener_that_fails_and_a_client_that_is_closed_are_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[Event] = []

    async def listener(event: Event) -> None:
        seen.append(event)
        raise ValueError("mine")

    async with server_at() as address:
        config = replace(CALLER, session_id="listened")
        heard = Hearing(address, AudioFormat(), config, listener)
        await until_connected(heard)
        heard.speech_started(ago_s=0.0)
        await say(heard, UPSET)
        heard.speech_ended(ago_s=0.0)
        assert await heard.affect(5) is not None
        await heard.close()
        assert any(isinstance(event, AffectEvent) for event in seen)
        assert "a listener failed" in caplog.text
        shut = AffectClient(address)
        async with hearing(shut) as deaf:
            deaf.hear(bytes(640))
            await asyncio.sleep(0.05)
        assert "goes on without affect" in caplog.text


async def test_closing_ends_the_session_in_order() -> None:
    seen: list[str] = []

    async def listener(event: Event) -> None:
        seen.append(type(event).__name__)

    async with server_at() as address:
        heard = Hearing(address, AudioFormat(), StreamConfig(), listener)
        await until_connected(heard)
        heard.agent_speaks(True)
        heard.agent_speaks(False)
        await heard.close()
        await heard.close()
    assert seen[0] == "SessionStarted"
    assert seen[-1] == "SessionClosed"
    assert seen.count("ControlDone") == 2
