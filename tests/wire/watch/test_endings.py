"""How a watched session ends, what is taken back, and whose business it is."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import tokens
from tests.support.fault_proxy import FaultProxy
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, of_session, of_tenant, refused, watched, watching
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
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 8 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000


def control(**kind: object) -> Request:
    return Request(control=pb.Control(control_id="c", **kind))  # type: ignore[arg-type]


def speech_is_open(events: list[pb.SessionEvent]) -> bool:
    return len(of_kind(events, "speech_started")) > len(of_kind(events, "speech_ended"))


async def test_an_abandoned_session_tells_its_watchers_what_stayed_open(server_address: str) -> None:
    async with (
        calling(server_address, config(session_id="call")) as call,
        watching(server_address, of_session("call", start=EARLIEST)) as watch,
    ):
        await call.send(frames(DATA, 0, 2 * SECOND))
        await call.until(speech_is_open)
        await watch.until(speech_is_open)
        call.call.cancel()
        assert await watch.to_the_end() is grpc.StatusCode.OK
    (closed,) = of_kind(watch.events, "session_closed")
    assert closed.reason == pb.CLOSE_REASON_ABANDONED
    assert closed.open_utterance_id == of_kind(watch.events, "speech_started")[-1].utterance_id
    assert [event.sequence for event in watch.events] == list(range(1, len(watch.events) + 1))


async def test_a_line_that_may_come_back_closes_nothing_until_it_is_too_late() -> None:
    async with running_server({"server": {"resume_s": 2}}) as server:
        first = config(session_id="call", resumable=True)
        async with watching(server.address, of_tenant()) as watch:
            async with calling(server.address, first) as call:
                await call.send(frames(DATA, 0, 2 * SECOND))
                await call.until(speech_is_open)
                async with calling(server.address, call.next(offset=2 * SECOND)) as second:
                    assert await call.to_the_end() is grpc.StatusCode.ABORTED
                    await second.send(frames(DATA, 2 * SECOND, 5 * SECOND))
                    await second.until(finals)
                    assert second.started.resume_token
            await watch.until(lambda events: len(of_kind(events, "session_closed")) == 2)
        reasons = [event.reason for event in of_kind(watch.events, "session_closed")]
        assert reasons == [pb.CLOSE_REASON_SUPERSEDED, pb.CLOSE_REASON_ABANDONED]
        assert finals(watch.events)
        assert [event.sequence for event in watch.events] == list(range(1, len(watch.events) + 1))
        assert not any(event.session_started.resume_token for event in watch.events)
        assert await watched(server.address, of_session("call", start=EARLIEST)), "to the session's own end"


async def test_what_is_purged_is_gone_and_what_follows_is_kept(server_address: str) -> None:
    async with calling(server_address, config(session_id="call")) as call, stub(server_address) as service:
        await call.send(frames(DATA, 0, 2 * SECOND))
        await call.until(lambda events: len(of_kind(events, "progress")) == 2 and speech_is_open(events))
        purged = await service.PurgeSession(pb.PurgeSessionRequest(session_id="call"))
        assert purged.events == len(call.events)
        async with watching(server_address, of_session("call", start=EARLIEST)) as watch:
            await call.send(frames(DATA, 2 * SECOND, 5 * SECOND))
            await watch.until(finals)
            assert watch.events[0].sequence == purged.events + 1
    async with watching(server_address, of_tenant(start=EARLIEST)) as everything:
        await everything.until(lambda events: of_kind(events, "session_closed"))
        assert everything.events[0].sequence == purged.events + 1
    async with stub(server_address) as service:
        await service.PurgeSession(pb.PurgeSessionRequest(session_id="call"))
    error = await refused(server_address, of_session("call", start=EARLIEST))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_purge_of_nothing_is_told_so(server_address: str) -> None:
    async with stub(server_address) as service:
        for session_id, code in (
            ("nobody", grpc.StatusCode.NOT_FOUND),
            ("", grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await service.PurgeSession(pb.PurgeSessionRequest(session_id=session_id))
            assert caught.value.code() is code
            assert error_info(caught.value).metadata["field"] == "session_id"


async def test_consent_withdrawn_takes_the_values_out_of_what_is_retained(server_address: str) -> None:
    async with calling(server_address, config(session_id="call")) as call:
        await call.send(frames(DATA, 0, 5 * SECOND))
        await call.until(finals)
        assert finals(call.events)[0].emotions
        await call.send([control(consent_withdrawn=pb.ConsentWithdrawn())])
        await call.until(lambda events: of_kind(events, "control_done"))
        for request in (of_session("call", start=EARLIEST), of_tenant(start=EARLIEST)):
            async with watching(server_address, request) as watch:
                await watch.until(lambda events: of_kind(events, "control_done"))
            (final,) = finals(watch.events)
            assert final.status == pb.AFFECT_STATUS_CONSENT_WITHHELD
            assert not final.emotions
            assert not final.HasField("dimensions")
            assert [event.sequence for event in watch.events] == [event.sequence for event in call.events]


async def test_nobody_sees_another_tenants_sessions(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    acme, first = tokens.make("acme", "agent", None)
    globex, second = tokens.make("globex", "agent", None)
    file.write_text(first + second)
    ours: dict[str, Any] = {"metadata": (("authorization", f"Bearer {acme}"),)}
    theirs: dict[str, Any] = {"metadata": (("authorization", f"Bearer {globex}"),)}
    async with (
        running_server({"auth": {"tokens_file": str(file)}}) as server,
        stub(server.address) as service,
        watching(server.address, of_tenant(), **theirs) as other,
    ):
        async with calling(server.address, config(session_id="call"), **ours) as call:
            await call.send([Request(control=pb.Control(end_of_audio=pb.EndOfAudio()))])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
        assert await watched(server.address, of_session("call", start=EARLIEST), **ours)
        for request in (
            of_session("call", start=EARLIEST),
            of_session("call", after=call.events[0].cursor),
        ):
            error = await refused(server.address, request, **theirs)
            unknown = await refused(server.address, of_session("nobody", start=EARLIEST), **theirs)
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error.details() == unknown.details()
        purge: Any = service.PurgeSession(pb.PurgeSessionRequest(session_id="call"), **theirs)
        assert await purge.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(TimeoutError):
            await other.until(lambda events: events, timeout_s=0.2)
        assert await watched(server.address, of_session("call", start=EARLIEST), **ours)


async def test_a_session_that_is_continued_after_its_end_does_not_begin_again_for_watchers() -> None:
    async with running_server() as server:
        async with calling(server.address, config(session_id="call", resumable=True)) as call:
            await call.send([END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
        told = await watched(server.address, of_session("call", start=EARLIEST))
        for _ in range(2):
            async with calling(server.address, call.next(offset=0)) as again:
                await again.call.done_writing()
                assert await again.to_the_end() is grpc.StatusCode.OK
            call.events[0] = again.events[0]
        error = await refused(server.address, of_session("call"))
        assert error_info(error).reason == "SESSION_ENDED"
        assert await watched(server.address, of_session("call", start=EARLIEST)) == told


async def test_a_watcher_that_goes_away_leaves_nothing_behind() -> None:
    async with running_server() as server:
        await stream_talk(server.address, TALK[:SECOND], session_id="call")
        async with watching(server.address, of_tenant(start=EARLIEST)) as watch:
            await watch.until(lambda events: events)
            assert server.pipeline.watching.watchers == 1
        async with asyncio.timeout(30):
            while server.pipeline.watching.watchers:
                await asyncio.sleep(0.01)


async def test_watchers_whose_line_is_cut_while_they_are_told_are_no_fault_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_server() as server, FaultProxy(server.address) as proxy:
        for _ in range(5):
            async with AsyncExitStack() as stack:
                for _ in range(20):
                    watch = watching(proxy.address, of_tenant(start=EARLIEST))
                    await stack.enter_async_context(watch)
                talking = asyncio.create_task(stream_talk(server.address, TALK))
                await asyncio.sleep(0.05)
                assert proxy.cut() == 20
                await talking
        async with asyncio.timeout(30):
            while server.pipeline.watching.watchers:
                await asyncio.sleep(0.01)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
