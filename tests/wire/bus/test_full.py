"""A Redis that is full: its events stay, new ones wait in their process, and who runs it is told."""

from __future__ import annotations

import asyncio
import logging

import grpc
import pytest

from tests.support.redis import RedisServer
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, Watch, of_session, of_tenant, watched, watching, without_token
from tests.support.wire import END, config, finals, of_kind, running_server, stream_talk
from tests.wire.bus.helpers import Shared, retained
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 8 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000
OWNER_S = 1.0
"""Of `shared`: a process that is silent for longer is taken for gone."""


def fill(redis: RedisServer) -> None:
    """Less room than it takes already, by the policy that docs/watching.md asks for."""
    redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.cli("CONFIG", "SET", "maxmemory", "100kb")
    assert "OOM" in redis.cli("SET", "more", "x"), "it is full"


def make_room(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "maxmemory", "0")


def length(redis: RedisServer, session_id: str) -> int:
    """Events of a session that Redis has."""
    (log,) = redis.cli("--raw", "KEYS", f"*:log:*:{session_id}:*").split() or ("none",)
    return int(redis.cli("--raw", "XLEN", log))


@pytest.mark.fault("bus away")
async def test_nothing_that_is_retained_goes_and_what_is_said_meanwhile_comes_when_there_is_room(
    shared: Shared, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        async with (
            calling(a.address, config(session_id="call")) as call,
            watching(b.address, of_session("call", start=EARLIEST)) as watch,
            watching(b.address, of_tenant(start=EARLIEST)) as everything,
        ):
            before = await stream_talk(a.address, TALK[:SECOND], session_id="before")
            await retained(b.address, "before", len(before))
            await call.send(frames(DATA, 0, 2 * SECOND))
            await watch.until(lambda events: of_kind(events, "speech_started"))
            fill(redis)
            await call.send([*frames(DATA, 2 * SECOND, len(TALK)), END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
            assert len(finals(call.events)) >= 2, "the stream does not notice"
            await asyncio.sleep(2 * OWNER_S)  # nobody may be taken for gone for want of a sign of life
            assert await watched(b.address, of_session("before", start=EARLIEST)) == without_token(before)
            assert "the bus is away: OutOfMemoryError; events wait for it" in caplog.text
            assert a.pipeline.bus is not None
            assert a.pipeline.bus.state.behind >= 1, "and the metrics say so"
            make_room(redis)
            assert await watch.to_the_end() is grpc.StatusCode.OK
            await everything.until(lambda events: len(of_kind(events, "session_closed")) == 2)
        assert watch.events == without_token(call.events), "each once, in order, and no other's last word"
        assert of_the_session(everything, "call") == [event.sequence for event in call.events]
        assert of_the_session(everything, "before") == [event.sequence for event in before]
    told = [record for record in caplog.records if "bus is" in record.getMessage()]
    assert {record.levelno for record in told} == {logging.WARNING}
    assert "the bus is back" in told[-1].getMessage()


def of_the_session(watch: Watch, session_id: str) -> list[int]:
    return [event.sequence for event in watch.events if event.session_id == session_id]


@pytest.mark.fault("bus away")
async def test_what_grows_too_old_goes_though_redis_is_full_so_that_there_is_room(
    shared: Shared, redis: RedisServer
) -> None:
    async with (
        running_server(shared(retention_s=3.0)) as server,
        calling(server.address, config(session_id="call")) as call,
    ):
        await call.send(frames(DATA, 0, 4 * SECOND))
        await call.until(finals)
        await asyncio.sleep(1.5)
        await call.send(frames(DATA, 4 * SECOND, 5 * SECOND))
        await call.until(lambda events: len(of_kind(events, "speech_started")) == 2)
        await retained(server.address, "call", len(call.events))
        fill(redis)
        before = length(redis, "call")
        lengths = [before]
        async with asyncio.timeout(20):
            while lengths[-1]:
                await asyncio.sleep(0.1)
                lengths.append(length(redis, "call"))
    assert [count for count in lengths if 0 < count < before], "the old ones went before the newest"
