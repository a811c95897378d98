"""What reads a call is not cancelled while gRPC receives: it ends with its call, and says what went wrong."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed, write
from affectstream_server.stream import Stream
from tests.support.speech import sample_talk
from tests.support.wire import Request, audio, config, running_server, stub
from tests.wire.resuming import calling

_READS = ("_read", "_converse", "AffectService.serve_stream")
SECOND = sample_talk()[16_000:32_000].tobytes()


async def cancelled(address: str) -> None:
    async with calling(address, config()) as call:
        await call.send([audio(bytes(640))])


async def cancelled_while_audio_waits(address: str) -> None:
    async with calling(address, config()) as call:
        sending = asyncio.create_task(call.send([audio(SECOND)] * 60))
        await asyncio.sleep(0.3)
        assert not sending.done(), "the sender waits for the server"
        call.call.cancel()
        with pytest.raises((WriteFailed, asyncio.CancelledError)):
            await sending


async def superseded_while_sending(address: str) -> None:
    async with calling(address, config(resumable=True)) as first:

        async def send() -> None:
            with pytest.raises(WriteFailed):
                while True:
                    await first.send([audio(bytes(640))])

        sending = asyncio.create_task(send())
        async with calling(address, first.next(offset=0)):
            assert await first.to_the_end() is grpc.StatusCode.ABORTED
            await sending


async def nothing_said(address: str) -> None:
    async with stub(address) as service:
        assert await service.StreamAffect().code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.fault("lost call")
@pytest.mark.parametrize(
    "ends", [cancelled, cancelled_while_audio_waits, superseded_while_sending, nothing_said]
)
async def test_what_reads_ends_with_its_call(
    ends: Callable[[str], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affectstream_server.edge.service.CONFIG_DEADLINE_S", 0.3)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with running_server() as server:
        for _ in range(3):
            await ends(server.address)
            async with asyncio.timeout(10):
                while reading() or server.pipeline.streams:
                    await asyncio.sleep(0.01)
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_config_at_the_last_moment_begins_a_session_or_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("affectstream_server.edge.service.CONFIG_DEADLINE_S", 0.4)
    async with running_server() as server, stub(server.address) as service:
        for number in range(4):
            call = service.StreamAffect()
            await call.initial_metadata()
            await asyncio.sleep(0.25)
            sending = asyncio.create_task(write(call, config()))
            for _ in range(number):
                await asyncio.sleep(0)
            time.sleep(0.3)  # noqa: ASYNC251 - the server's loop is this one: config and deadline come at once
            await asyncio.wait([sending])
            try:
                async with asyncio.timeout(1):
                    while await call.read() is not grpc.aio.EOF:
                        pass
                status = await call.code()
            except TimeoutError:
                continue  # it goes on
            except grpc.aio.AioRpcError as error:
                status = error.code()
            assert status is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_fault_is_in_the_log_also_where_the_stream_is_interrupted_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    receive = Stream.receive

    def break_down(self: Stream, request: pb.StreamAffectRequest) -> None:
        if request.audio.data == b"!!":
            self.stop_reading()
            raise KeyError("broken")
        receive(self, request)

    monkeypatch.setattr(Stream, "receive", break_down)
    async with running_server() as server, calling(server.address, config()) as call:
        await call.send([Request(audio=pb.AudioChunk(data=b"!!"))])
        assert await call.to_the_end() is grpc.StatusCode.INTERNAL
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


def reading() -> list[str]:
    """Tasks of the server that read a call."""
    names = (getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())
    return [name for name in names if name in _READS]
