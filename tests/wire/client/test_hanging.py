"""What would leave a caller waiting for ever, or end their stream without a word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from affectstream import (
    AffectClient,
    AffectStream,
    Event,
    Gap,
    NewSession,
    Reconnect,
    Reconnecting,
    Resumed,
    SessionClosed,
    Timeouts,
    errors,
)
from affectstream.channel import open_channel
from affectstream.connection import Connection
from affectstream.inbox import MOST_UNREAD
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from tests.support.wire import running_server
from tests.wire.client.helpers import STARTED, Call, Requests, odd_server, response
from tests.wire.client.talks import LIVE, TALK, collect, of_type, until

FRAME = TALK[:1_600]
GARBAGE = b"\xff\xff\xff"


def begun(session_id: str = "s", **fields: Any) -> pb.StreamAffectResponse:
    """`SessionStarted` of a session that can be continued."""
    started = pb.SessionStarted(
        resume_token=b"t",
        channels=[pb.ChannelConfig(analyze=True)],
        outputs=pb.OutputConfig(progress_interval_ms=200),
        **fields,
    )
    event = pb.SessionEvent(session_id=session_id, epoch=1, sequence=1, session_started=started)
    return pb.StreamAffectResponse(event=event)


@asynccontextmanager
async def heard(stream: AffectStream) -> AsyncIterator[list[Event]]:
    """Its events, read all the while."""
    events: list[Event] = []
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(collect(stream, events))
        yield events
        reading.cancel()


async def forget(call: Call) -> None:
    """Say that there is no such session."""
    status = status_pb2.Status(code=5, message="no such session")
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason="SESSION_NOT_FOUND", domain="affectstream.dev")
    )
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await call.abort(grpc.StatusCode.NOT_FOUND, "no such session", details)


async def test_the_end_is_said_again_to_a_session_that_has_not_heard_it() -> None:
    """The server had acknowledged it, and was gone before the finals."""
    said: list[str] = []

    async def handler(requests: Requests, call: Call) -> None:
        first = await anext(requests)
        if first.config.HasField("resume"):
            await forget(call)
        await call.write(begun(str(len(said))))
        async for request in requests:
            if request.control.HasField("end_of_audio"):
                said.append(request.control.control_id)
                done = response(2, control_done=pb.ControlDone(control_id=request.control.control_id))
                await call.write(done)
                if len(said) == 1:
                    await call.abort(grpc.StatusCode.UNAVAILABLE, "gone")
                closed = pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)
                await call.write(response(3, session_closed=closed))
                return

    async with (
        odd_server(handler) as address,
        AffectClient(address, timeouts=Timeouts(idle_s=10)) as client,
        client.stream(reconnect=LIVE) as stream,
    ):
        await stream.send(FRAME)
        await stream.end()
        events = [event async for event in stream]
    assert len(said) == 2
    assert of_type(events, NewSession)
    assert isinstance(events[-1], SessionClosed)


async def test_a_call_that_is_cancelled_here_while_audio_comes_is_made_again() -> None:
    async with (
        running_server() as server,
        AffectClient(server.address) as client,
        client.stream(reconnect=LIVE) as stream,
        heard(stream) as events,
    ):
        for frames in range(1, 6):
            await stream.send(FRAME)
            link = stream._line._link  # type: ignore[attr-defined]  # nothing of ours cancels it at will
            link.cancel()
            await stream.send(FRAME)
            await until(lambda wanted=frames: len(of_type(events, Resumed)) == wanted)  # type: ignore[misc]


async def test_a_channel_is_not_closed_under_the_calls_of_others() -> None:
    async def handler(requests: Requests, call: Call) -> None:
        async for _ in requests:
            await call.write(STARTED)

    async def no_metadata() -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    async with odd_server(handler) as address:
        connection = Connection(address, lambda: open_channel(address, None), no_metadata)
        connection.open()
        first = connection.channel
        call = AffectServiceStub(first).StreamAffect()
        connection.carry(first, call)
        for _ in range(10):  # each for a call that failed
            await call.write(pb.StreamAffectRequest())
            assert await call.read() == STARTED
            await connection.renew(connection.channel, doubtful=True)
        assert connection.channel is not first
        await call.done_writing()
        assert await call.code() == grpc.StatusCode.OK
        await connection.renew(connection.channel, doubtful=True)
        assert first.get_state() is grpc.ChannelConnectivity.SHUTDOWN
        await connection.close()


async def test_who_opens_a_stream_of_a_client_that_closes_hears_of_it() -> None:
    """gRPC says it by a `CancelledError`, as if the task were cancelled: a task group would not notice."""

    async def handler(requests: Requests, call: Call) -> None:  # noqa: ARG001
        await asyncio.sleep(30)

    async def wait(client: AffectClient) -> None:
        async with client.stream():
            raise AssertionError("it said nothing")

    async with odd_server(handler) as address:
        async with AffectClient(address) as client:
            waiting = asyncio.create_task(wait(client))
            await asyncio.sleep(0.3)
        with pytest.raises(errors.Cancelled):
            await asyncio.wait_for(waiting, 10)


async def test_a_pause_that_is_longer_than_the_ring_holds_nobody_up() -> None:
    policy = Reconnect(ring_s=2)
    async with running_server() as server, AffectClient(server.address) as client:
        async with client.stream(reconnect=policy) as stream, heard(stream) as events:
            for _ in range(12):
                await stream.send(FRAME)
            await stream.pause()
            await stream.resume(position_samples=stream.position_samples + 16_000 * 5)
            await until(lambda: bool(of_type(events, Gap)))
            began_s = time.monotonic()
            await stream.send(FRAME)
            assert time.monotonic() - began_s < policy.stall_s / 2
        assert of_type(events, Reconnecting) == []


async def test_a_server_that_acknowledges_nothing_is_given_up() -> None:
    async def handler(requests: Requests, call: Call) -> None:
        first = await anext(requests)
        await call.write(begun(resumed=first.config.HasField("resume")))
        async for _ in requests:
            pass

    policy = Reconnect(
        ring_s=1, first_delay_s=0.02, max_delay_s=0.1, give_up_after_s=1.5, wait_when_full=True
    )
    async with (
        odd_server(handler) as address,
        AffectClient(address) as client,
        client.stream(reconnect=policy) as stream,
    ):
        reading = asyncio.create_task(collect(stream, []))
        with pytest.raises(errors.StreamClosed):
            await asyncio.wait_for(stream.send(TALK[: 16_000 * 4]), 15)
        with pytest.raises(errors.GaveUp):
            await reading


async def test_a_stream_that_is_left_at_once_leaves_no_call() -> None:
    async with running_server() as server, AffectClient(server.address) as client:
        async with client.stream(reconnect=LIVE):
            assert server.pipeline.streams == 1
        await until(lambda: server.pipeline.streams == 0, 5)


async def test_a_watch_that_is_cancelled_as_it_begins_leaves_no_call() -> None:
    calls = 0

    async def handler(requests: Requests, call: Call) -> None:  # noqa: ARG001
        raise AssertionError

    async def watch(request: pb.WatchAffectRequest, call: Call) -> None:  # noqa: ARG001
        nonlocal calls
        calls += 1
        try:
            await asyncio.sleep(30)
        finally:
            calls -= 1

    async with odd_server(handler, watch) as address, AffectClient(address) as client:
        entering = asyncio.create_task(client.watch().__aenter__())
        await until(lambda: calls == 1)
        entering.cancel()
        await asyncio.wait({entering})
        await until(lambda: calls == 0, 5)


@pytest.mark.parametrize("before", [0, 1])
async def test_an_answer_that_cannot_be_read_ends_the_stream(before: int) -> None:
    async def handler(requests: Requests, call: Call) -> None:  # noqa: ARG001
        for message in [STARTED] * before:
            await call.write(message)
        await call.write(GARBAGE)
        await asyncio.sleep(30)

    async with odd_server(handler) as address, AffectClient(address) as client, asyncio.timeout(10):
        with pytest.raises(errors.ProtocolError):
            async with client.stream() as stream:
                async for _ in stream:
                    pass


async def test_who_does_not_read_for_a_while_does_not_blame_the_server() -> None:
    """No more is read than may wait, so that nothing is heard of what the server acknowledges."""
    policy = Reconnect(ring_s=1)

    async def handler(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(begun())
        for sequence in range(2, MOST_UNREAD + 500):
            await call.write(response(sequence, progress=pb.Progress()))
        received = 0
        async for request in requests:
            received += len(request.audio.data) // 2
            sequence += 1
            await call.write(response(sequence, progress=pb.Progress(received_until_samples=received)))

    async with odd_server(handler) as address, AffectClient(address) as client:
        async with client.stream(reconnect=policy) as stream:
            await until(lambda: len(stream._open_inbox.events) >= MOST_UNREAD)
            for _ in range(9):
                await stream.send(FRAME)
            await asyncio.sleep(policy.stall_s * 3)
            async with heard(stream) as events:
                await until(lambda: len(events) > MOST_UNREAD + 500)
        assert of_type(events, Reconnecting) == []
