"""Several processes, one Redis: whoever watches, watches from anywhere."""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from operator import eq

import grpc

from affectstream.v1 import affect_pb2 as pb
from tests.support.redis import RedisServer
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, of_session, of_tenant, refused, watched, watching, without_token
from tests.support.wire import (
    END,
    Request,
    config,
    error_info,
    finals,
    of_kind,
    running_server,
    stream_talk,
    stub,
)
from tests.wire.bus.helpers import Shared, is_abandoned, killable, retained, speech_is_open
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 8 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000


async def test_a_session_of_one_process_is_watched_at_another(shared: Shared) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        async with (
            calling(a.address, config(session_id="call", resumable=True)) as call,
            watching(b.address, of_session("call", start=EARLIEST)) as watch,
            watching(b.address, of_tenant(start=EARLIEST)) as everything,
        ):
            await call.send([*frames(DATA, 0, len(TALK)), END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
            assert await watch.to_the_end() is grpc.StatusCode.OK
            told = without_token(call.events)
            assert watch.events == told
            await everything.until(lambda events: len(events) == len(told))
        for count in range(1, len(told) + 1):
            after = of_session("call", after=told[count - 1].cursor)
            assert await watched(b.address, after) == told[count:]
            left = everything.events[count:]
            async with watching(a.address, of_tenant(after=everything.events[count - 1].cursor)) as rest:
                await rest.until(partial(eq, left))


async def test_limits_of_retention_hold_at_redis(shared: Shared, redis: RedisServer) -> None:
    async with (
        running_server(shared(retention_events=5, tenant_events=7)) as a,
        running_server(shared()) as b,
    ):
        async with watching(b.address, of_tenant()) as everything:
            events = await stream_talk(a.address, TALK, session_id="call")
            await everything.until(lambda seen: len(seen) == len(events))
        for request, kept in (
            (of_session("call", after=events[0].cursor), events[-5:]),
            (of_tenant(after=everything.events[0].cursor), everything.events[-7:]),
        ):
            error = await refused(b.address, request)
            assert (error.code(), error_info(error).reason) == (
                grpc.StatusCode.OUT_OF_RANGE,
                "CURSOR_FALLEN_OUT",
            )
            request.after = base64.b64decode(error_info(error).metadata["limit"])
            async with watching(b.address, request) as watch:
                await watch.until(lambda seen: len(seen) >= 5)
                assert watch.events == kept[: len(watch.events)]
    for key in redis.cli("--scan").split():
        assert 0 < int(redis.cli("PTTL", key)) <= 25 * 3_600_000, f"{key} goes by itself"


async def test_what_is_too_old_is_gone_from_redis_while_the_session_goes_on(
    shared: Shared, redis: RedisServer
) -> None:
    async with (
        running_server(shared(retention_s=2)) as a,
        calling(a.address, config(session_id="call")) as call,
        watching(a.address, of_tenant(start=EARLIEST)) as everything,
    ):
        await call.send(frames(DATA, 0, 5 * SECOND))
        await everything.until(finals)
        logs = [key for key in redis.cli("--scan").split() if ":log:" in key or ":tenant:" in key]
        assert len(logs) == 2
        async with asyncio.timeout(30):
            while any(redis.cli("XLEN", key).strip() != "0" for key in logs):
                await asyncio.sleep(0.1)


async def test_an_id_that_is_used_again_is_another_session(shared: Shared) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        first = await stream_talk(a.address, TALK[:SECOND], session_id="call")
        second = await stream_talk(b.address, TALK, session_id="call")
        await retained(a.address, "call", len(second))
        assert await watched(a.address, of_session("call", start=EARLIEST)) == second
        assert await watched(b.address, of_session("call", after=first[0].cursor)) == first[1:]


async def test_a_purge_reaches_every_process(shared: Shared) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        ended = await stream_talk(a.address, TALK[:SECOND], session_id="ended")
        await retained(b.address, "ended", len(ended))
        async with calling(a.address, config(session_id="call")) as call, stub(b.address) as service:
            await call.send(frames(DATA, 0, 5 * SECOND))
            await call.until(finals)
            async with watching(b.address, of_session("call", start=EARLIEST)) as watch:
                await watch.until(finals)
            for session_id in ("call", "ended"):
                purged = await service.PurgeSession(pb.PurgeSessionRequest(session_id=session_id))
                assert purged.events > 1
            assert (await refused(a.address, of_session("ended"))).code() is grpc.StatusCode.NOT_FOUND
            before = max(event.sequence for event in call.events)
            await call.send(frames(DATA, 5 * SECOND, 7 * SECOND))
            for request in (of_session("call", start=EARLIEST), of_tenant(start=EARLIEST)):
                async with watching(b.address, request) as watch:
                    await watch.until(lambda events: events)
                    assert watch.events[0].sequence > before
            for log in a.pipeline.bus._logs:  # type: ignore[union-attr] # nor would they be published again
                assert all(entry.sequence > before for _, entry in log.entries)


async def test_consent_withdrawn_takes_the_values_out_of_redis(shared: Shared) -> None:
    async with (
        running_server(shared()) as a,
        running_server(shared()) as b,
        calling(a.address, config(session_id="call")) as call,
    ):
        await call.send(frames(DATA, 0, 5 * SECOND))
        await call.until(finals)
        async with watching(b.address, of_session("call", start=EARLIEST)) as before:
            await before.until(finals)
        assert finals(before.events)[0].emotions
        withdraw = pb.Control(control_id="c", consent_withdrawn=pb.ConsentWithdrawn())
        await call.send([Request(control=withdraw)])
        await call.until(lambda events: of_kind(events, "control_done"))
        async with watching(b.address, of_session("call", start=EARLIEST)) as watch:
            await watch.until(lambda events: of_kind(events, "control_done"))
        assert [event.sequence for event in watch.events] == [event.sequence for event in call.events]
        assert not any(final.emotions or final.top_label for final in finals(watch.events))
        async with watching(b.address, of_tenant(start=EARLIEST)) as everything:
            await everything.until(lambda events: of_kind(events, "control_done"))
        assert not any(final.emotions for final in finals(everything.events))


async def test_sessions_of_a_process_that_was_killed_are_closed_for_their_watchers(
    shared: Shared, redis: RedisServer
) -> None:
    async with (
        running_server(shared()) as b,
        killable(redis) as (process, address),
        calling(address, config(session_id="call")) as call,
        watching(b.address, of_session("call", start=EARLIEST)) as watch,
        watching(b.address, of_tenant(start=EARLIEST)) as everything,
    ):
        await call.send(frames(DATA, 0, 2 * SECOND))
        await call.until(speech_is_open)
        await watch.until(speech_is_open)
        process.kill()
        assert await watch.to_the_end() is grpc.StatusCode.OK
        await everything.until(lambda events: of_kind(events, "session_closed"))
    (closed,) = of_kind(watch.events, "session_closed")
    assert closed.reason == pb.CLOSE_REASON_ABANDONED
    assert closed.open_utterance_id == of_kind(watch.events, "speech_started")[-1].utterance_id
    assert [event.sequence for event in watch.events] == list(range(1, len(watch.events) + 1))
    assert watch.events[: len(call.events)] == call.events


async def test_a_process_that_was_only_cut_off_has_the_last_word(shared: Shared) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        async with calling(a.address, config(session_id="call")) as call:
            await call.send(frames(DATA, 0, 2 * SECOND))
            await call.until(speech_is_open)
            async with watching(b.address, of_tenant(start=EARLIEST)) as everything:
                await everything.until(speech_is_open)
                keeper = a.pipeline.bus._keeper  # type: ignore[union-attr]
                keeper._task.cancel()  # no sign of life any more
                await everything.until(lambda events: of_kind(events, "session_closed"))
                await call.send([*frames(DATA, 2 * SECOND, 5 * SECOND), END])
                await call.call.done_writing()
                assert await call.to_the_end() is grpc.StatusCode.OK
                await everything.until(lambda events: len(of_kind(events, "session_closed")) == 2)
            assert await watched(b.address, of_session("call", start=EARLIEST)) == call.events
        ours = [e for e in everything.events if not is_abandoned(e)]
        assert [event.sequence for event in ours] == [event.sequence for event in call.events]
