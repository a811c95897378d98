"""Redis goes away, hangs, forgets and comes back: audio goes on, and no watcher misses an event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.redis import RedisServer
from tests.support.speech import sample_talk
from tests.support.waiting import waiting
from tests.support.watching import EARLIEST, Watch, of_session, of_tenant, refused, watched, watching
from tests.support.wire import END, config, error_info, finals, of_kind, running_server, stream_talk
from tests.wire.bus.helpers import Shared, retained
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 8 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000


@pytest.fixture(params=["keeps", "forgets"])
def redis(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """With an append-only file, and without."""
    server = RedisServer(tmp_path / "redis", keep=request.param == "keeps")
    server.start()
    yield server
    server.kill()


def words(watch: Watch) -> list[str]:
    """What the server itself told the watcher."""
    return [event.warning.code for event in watch.events if not event.sequence]


def spoken(watch: Watch) -> list[pb.SessionEvent]:
    """The events of sessions."""
    return [event for event in watch.events if event.sequence]


@pytest.mark.fault("bus away")
async def test_audio_goes_on_and_every_event_comes_once_and_in_order(
    shared: Shared, redis: RedisServer
) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        async with (
            calling(a.address, config(session_id="call")) as call,
            watching(b.address, of_session("call", start=EARLIEST)) as watch,
            watching(b.address, of_tenant(start=EARLIEST)) as everything,
        ):
            quiet = await stream_talk(a.address, TALK[:SECOND], session_id="before")
            await call.send(frames(DATA, 0, 2 * SECOND))
            await watch.until(lambda events: of_kind(events, "speech_started"))
            redis.kill()
            await watch.until(lambda _: words(watch))
            await call.send(frames(DATA, 2 * SECOND, 6 * SECOND))
            await call.until(finals)
            redis.start()
            await watch.until(finals)
            await call.send([*frames(DATA, 6 * SECOND, len(TALK)), END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
            assert await watch.to_the_end() is grpc.StatusCode.OK
            await everything.until(lambda events: len(of_kind(events, "session_closed")) == 2)
        told = words(watch)  # more than once where this machine is too busy for an answer in time
        assert told == ["BUS_AWAY", "BUS_BACK"] * max(1, len(told) // 2)
        assert spoken(watch) == call.events
        for session_id, events in (("call", call.events), ("before", quiet)):
            heard = [event for event in spoken(everything) if event.session_id == session_id]
            assert [event.sequence for event in heard] == [event.sequence for event in events]
            assert await watched(b.address, of_session(session_id, start=EARLIEST)) == events


@pytest.mark.fault("bus away")
async def test_a_redis_that_hangs_delays_no_stream_and_is_told_to_who_asks(
    shared: Shared, redis: RedisServer
) -> None:
    async with running_server(shared(timeout_ms=200)) as server:
        await stream_talk(server.address, TALK[:SECOND], session_id="call")
        redis.hang()
        try:
            async with waiting() as waited:
                error = await refused(server.address, of_session("call"))
                assert waited.seconds < 5 * 2 * 0.2
            assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "BUS_AWAY")
            events = await asyncio.wait_for(stream_talk(server.address, TALK, session_id="other"), 30)
            assert finals(events)
        finally:
            redis.go_on()
        await retained_soon(server.address, "other", len(events))
        assert await watched(server.address, of_session("other", start=EARLIEST)) == events


@pytest.mark.fault("bus away")
async def test_a_server_starts_without_redis_and_publishes_when_it_comes(
    shared: Shared, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    async with running_server(shared()) as server:
        events = await stream_talk(server.address, TALK, session_id="call")
        assert finals(events)
        assert (await refused(server.address, of_tenant())).code() is grpc.StatusCode.UNAVAILABLE
        redis.start()
        await retained_soon(server.address, "call", len(events))
    told = [record for record in caplog.records if "bus" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING] * 2, "away and back, once each"


@pytest.mark.fault("bus away")
async def test_what_redis_lost_unnoticed_is_written_again(shared: Shared, redis: RedisServer) -> None:
    async with running_server(shared()) as server, calling(server.address, config(session_id="call")) as call:
        await call.send(frames(DATA, 0, 5 * SECOND))
        await call.until(finals)
        await retained(server.address, "call", len(call.events))
        redis.cli("FLUSHALL")
        await call.send([*frames(DATA, 5 * SECOND, len(TALK)), END])
        await call.call.done_writing()
        assert await call.to_the_end() is grpc.StatusCode.OK
        await retained_soon(server.address, "call", len(call.events))
        assert await watched(server.address, of_session("call", start=EARLIEST)) == call.events


async def retained_soon(address: str, session_id: str, count: int) -> None:
    """Wait until the bus has them; it may not know of the session yet."""
    async with asyncio.timeout(30):
        while True:
            async with watching(address, of_session(session_id, start=EARLIEST)) as watch:
                if await watch.to_the_end() is grpc.StatusCode.OK and len(watch.events) == count:
                    return
            await asyncio.sleep(0.05)


async def test_a_password_opens_redis_and_shows_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guarded = RedisServer(tmp_path / "guarded", password="hunter2")  # noqa: S106 - planted
    guarded.start()
    try:
        async with running_server({"bus": {"url": guarded.url}}) as server:
            events = await stream_talk(server.address, TALK[:SECOND], session_id="call")
            await retained_soon(server.address, "call", len(events))
        with caplog.at_level(logging.DEBUG):
            wrong = guarded.url.replace("hunter2", "hunter3")
            async with running_server({"bus": {"url": wrong, "timeout_ms": 200}}) as server:
                assert finals(await stream_talk(server.address, TALK, session_id="call"))
                error = await refused(server.address, of_tenant())
        assert error_info(error).reason == "BUS_AWAY"
        assert "AuthenticationError" in caplog.text
        assert "hunter" not in caplog.text + str(error.details())
    finally:
        guarded.kill()
