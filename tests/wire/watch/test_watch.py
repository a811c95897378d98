"""Who watches hears what the stream hears: all of it, in order, from where it was asked for."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.watching import (
    EARLIEST,
    of_session,
    of_tenant,
    refused,
    watched,
    watching,
    without_token,
)
from tests.support.wire import END, config, error_info, of_kind, running_server, stream_talk, stub
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 8 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000


async def test_a_watcher_hears_what_the_stream_hears_and_ends_with_the_session(server_address: str) -> None:
    async with (
        calling(server_address, config(session_id="call", resumable=True)) as call,
        watching(server_address, of_session("call")) as watch,
    ):
        await call.send([*frames(DATA, 0, len(TALK)), END])
        await call.call.done_writing()
        assert await call.to_the_end() is grpc.StatusCode.OK
        assert await watch.to_the_end() is grpc.StatusCode.OK
    assert len(watch.events) > 5
    assert watch.events == call.events[1:], "LATEST: the watch was opened after session_started"


async def test_what_is_retained_comes_from_the_start_and_from_every_cursor(server_address: str) -> None:
    events = await stream_talk(server_address, TALK, session_id="call", resumable=True)
    assert events[0].session_started.resume_token
    told = without_token(events)
    assert await watched(server_address, of_session("call", start=EARLIEST)) == told, "and no token"
    for count, event in enumerate(events, start=1):
        assert await watched(server_address, of_session("call", after=event.cursor)) == told[count:]


async def test_a_tenants_watch_has_every_session_and_cursors_of_its_own(server_address: str) -> None:
    async with watching(server_address, of_tenant()) as watch:
        spoken = {
            name: without_token(await stream_talk(server_address, TALK, session_id=name))
            for name in ("one", "two")
        }
        count = sum(len(events) for events in spoken.values())
        await watch.until(lambda events: len(events) >= count)
    for name, events in spoken.items():
        heard = [event for event in watch.events if event.session_id == name]
        assert [event.sequence for event in heard] == [event.sequence for event in events]
        assert [event.cursor for event in heard] != [event.cursor for event in events]
    middle = count // 2
    async with watching(server_address, of_tenant(after=watch.events[middle - 1].cursor)) as second:
        await second.until(lambda events: len(events) >= count - middle)
        assert second.events == watch.events[middle:]
    async with watching(server_address, of_tenant(start=EARLIEST)) as whole:
        await whole.until(lambda events: len(events) >= count)
        assert whole.events == watch.events


async def test_a_session_that_never_was_and_one_that_has_ended(server_address: str) -> None:
    error = await refused(server_address, of_session("nobody", start=EARLIEST))
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    await stream_talk(server_address, TALK[:SECOND], session_id="call")
    error = await refused(server_address, of_session("call"))
    assert (error.code(), error_info(error).reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SESSION_ENDED",
    )
    assert "EARLIEST" in (error.details() or "")


@pytest.mark.parametrize("kind", ["session", "tenant"])
async def test_a_cursor_that_fell_out_is_answered_with_the_earliest(kind: str) -> None:
    bus = {"retention_events": 5, "tenant_events": 5}
    async with running_server({"bus": bus}) as server:
        async with watching(server.address, of_tenant()) as everything:
            events = await stream_talk(server.address, TALK, session_id="call")
            await everything.until(lambda seen: len(seen) == len(events))
        if kind == "session":
            old, retained = of_session("call", after=events[0].cursor), events[-5:]
        else:
            old, retained = of_tenant(after=everything.events[0].cursor), everything.events[-5:]
        error = await refused(server.address, old)
        assert error.code() is grpc.StatusCode.OUT_OF_RANGE
        assert error_info(error).reason == "CURSOR_FALLEN_OUT"
        old.after = base64.b64decode(error_info(error).metadata["limit"])
        async with watching(server.address, old) as watch:
            await watch.until(lambda seen: len(seen) == 5)
            assert watch.events == without_token(retained)


async def test_what_is_too_old_is_gone() -> None:
    async with running_server({"bus": {"retention_s": 1}}) as server:
        await stream_talk(server.address, TALK[:SECOND], session_id="call")
        async with watching(server.address, of_session("call", start=EARLIEST)) as watch:
            await watch.to_the_end()
            assert watch.events
        async with asyncio.timeout(30):
            while True:
                async with watching(server.address, of_session("call", start=EARLIEST)) as watch:
                    if await watch.to_the_end() is grpc.StatusCode.NOT_FOUND:
                        return
                await asyncio.sleep(0.1)


async def test_an_id_that_is_used_again_is_another_session(server_address: str) -> None:
    first = await stream_talk(server_address, TALK[:SECOND], session_id="call")
    second = await stream_talk(server_address, TALK, session_id="call")
    assert first[0].sequence == second[0].sequence, "they count alike"
    assert await watched(server_address, of_session("call", start=EARLIEST)) == without_token(second)
    assert await watched(server_address, of_session("call", after=first[0].cursor)) == first[1:]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.WatchAffectRequest(), "subject"),
        (of_session(""), "session_id"),
        (of_session("a b"), "session_id"),
        (of_session("x" * 65), "session_id"),
        (of_session("call", after=b"nonsense"), "after"),
        (of_session("call", after=b""), "after"),
        (of_tenant(after=b"s" + b"0" * 24), "after"),
        (of_session("call", start=99), "start"),
        (of_tenant(start=99), "start"),
    ],
)
async def test_bad_requests_are_told_the_field(
    server_address: str, request_: pb.WatchAffectRequest, field: str
) -> None:
    await stream_talk(server_address, TALK[:SECOND], session_id="call")
    error = await refused(server_address, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).metadata["field"] == field


async def test_sixteen_may_watch_and_the_next_is_told_so(server_address: str) -> None:
    async with calling(server_address, config(session_id="call")) as call, AsyncExitStack() as stack:
        watches = [
            await stack.enter_async_context(watching(server_address, of_session("call", start=EARLIEST)))
            for _ in range(16)
        ]
        for watch in watches:
            await watch.until(lambda events: events)
        error = await refused(server_address, of_session("call"))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        info = error_info(error)
        assert (info.reason, info.metadata["limit"]) == ("TOO_MANY_WATCHERS_OF_SUBJECT", "16")
        await call.send([*frames(DATA, 0, 2 * SECOND), END])
        await call.call.done_writing()
        assert await call.to_the_end() is grpc.StatusCode.OK
        for watch in watches:
            assert await watch.to_the_end() is grpc.StatusCode.OK
            assert watch.events == call.events
    assert await watched(server_address, of_session("call", start=EARLIEST)), "their places are free again"


async def test_a_server_that_retains_nothing_says_so() -> None:
    async with running_server({"bus": {"retention_events": 0}}) as server:
        events = await stream_talk(server.address, TALK[:SECOND], session_id="call")
        assert not any(event.cursor for event in events)
        assert (await refused(server.address, of_session("call"))).code() is grpc.StatusCode.UNIMPLEMENTED
        async with stub(server.address) as service:
            info = await service.GetServerInfo(pb.GetServerInfoRequest())
        assert pb.FEATURE_WATCH not in info.features


async def test_the_servers_end_comes_after_the_sessions_end() -> None:
    async with (
        running_server() as server,
        calling(server.address, config(session_id="call")) as call,
        watching(server.address, of_session("call", start=EARLIEST)) as watch,
        watching(server.address, of_tenant(start=EARLIEST)) as everything,
    ):
        await call.send(frames(DATA, 0, SECOND))
        await server.drain_and_stop()
        assert await watch.to_the_end() is grpc.StatusCode.OK
        error = await everything.error()
    closed = of_kind(watch.events, "session_closed")
    assert [event.reason for event in closed] == [pb.CLOSE_REASON_DRAIN]
    assert len(everything.events) == len(watch.events)
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
