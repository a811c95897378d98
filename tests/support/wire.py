"""A real server and raw calls to it, with the stubs alone: the tests' own view of the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from affectstream.v1 import affect_pb2_grpc
from affectstream.writing import WriteFailed, close, write
from affectstream_server.lifecycle import Server
from affectstream_server.settings import load

Request = pb.StreamAffectRequest
END = Request(control=pb.Control(end_of_audio=pb.EndOfAudio()))


@asynccontextmanager
async def running_server(overrides: dict[str, dict[str, Any]] | None = None) -> AsyncIterator[Server]:
    """A server in this process on a free port of 127.0.0.1."""
    sections: dict[str, dict[str, Any]] = {"server": {"drain_s": 0.5}}
    for section, values in (overrides or {}).items():
        sections[section] = sections.get(section, {}) | values
    sections["server"]["address"] = "127.0.0.1:0"
    server = Server(load(environ={}, overrides=sections))
    await server.start()
    try:
        yield server
    finally:
        await server.drain_and_stop()


@asynccontextmanager
async def stub(
    address: str, *options: tuple[str, int]
) -> AsyncIterator[affect_pb2_grpc.AffectServiceAsyncStub]:
    """The raw stub on a channel of its own, with more ``options``."""
    own = ("grpc.use_local_subchannel_pool", 1)
    async with grpc.aio.insecure_channel(address, options=[own, *options]) as channel:
        service: Any = affect_pb2_grpc.AffectServiceStub(channel)
        yield service


def config(
    encoding: pb.AudioEncoding.ValueType = pb.AUDIO_ENCODING_LINEAR16,
    rate_hz: int = 16_000,
    channel_count: int = 1,
    **fields: Any,
) -> Request:
    """A config message."""
    audio = pb.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channel_count=channel_count)
    return Request(config=pb.SessionConfig(audio=audio, **fields))


def audio(data: bytes) -> Request:
    """An audio message."""
    return Request(audio=pb.AudioChunk(data=data))


def chunks(data: bytes, chunk_bytes: int = 640) -> Iterable[Request]:
    """Audio messages of equal size: 20 ms of LINEAR16 at 16 kHz by default."""
    return (audio(data[i : i + chunk_bytes]) for i in range(0, len(data), chunk_bytes))


async def exchange(
    address: str, requests: AsyncIterator[Request], events: list[pb.SessionEvent]
) -> list[pb.SessionEvent]:
    """Send while reading into ``events``, half-close at the end. Raises `grpc.aio.AioRpcError`.

    gRPC's own iterator would put INTERNAL in place of the status of a call that ends while it is sending.
    """
    async with stub(address) as service:
        call = service.StreamAffect()

        async def send() -> None:
            try:
                async for request in requests:
                    await write(call, request)
                    await asyncio.sleep(0)
                await close(call)
            except WriteFailed:
                return

        sending = asyncio.create_task(send())
        try:
            while (response := await call.read()) is not grpc.aio.EOF:
                assert isinstance(response, pb.StreamAffectResponse)
                events.append(response.event)
            if await call.code() != grpc.StatusCode.OK:
                raise grpc.aio.AioRpcError(
                    await call.code(),
                    await call.initial_metadata(),
                    await call.trailing_metadata(),
                    await call.details(),
                )
        finally:
            sending.cancel()
            await asyncio.wait([sending])
    return events


async def converse(address: str, requests: Iterable[Request]) -> list[pb.SessionEvent]:
    """Send everything, half-close, and return every event. Raises `grpc.aio.AioRpcError`."""

    async def send() -> AsyncIterator[Request]:
        for request in requests:
            yield request

    return await exchange(address, send(), [])


async def stream_talk(address: str, samples: NDArray[np.int16], **fields: Any) -> list[pb.SessionEvent]:
    """Stream 16 kHz LINEAR16 as fast as the server takes it, to its end."""
    return await converse(address, [config(**fields), *chunks(samples.tobytes()), END])


async def refusal(address: str, requests: Iterable[Request]) -> grpc.aio.AioRpcError:
    """The error that ends this conversation; fails if it goes well."""
    try:
        await asyncio.wait_for(converse(address, requests), 30)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the server did not refuse")


def of_kind(events: Sequence[pb.SessionEvent], kind: str) -> list[Any]:
    """The events of one kind, without their envelopes."""
    return [getattr(event, kind) for event in events if event.WhichOneof("event") == kind]


def finals(events: Sequence[pb.SessionEvent]) -> list[pb.AffectEvent]:
    """The final affect events."""
    return [event for event in of_kind(events, "affect") if event.stage == pb.STAGE_FINAL]


def seconds(duration: Any) -> float:
    """A protobuf duration in seconds."""
    return float(duration.seconds + duration.nanos / 1e9)


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The google.rpc.ErrorInfo of an error; every refusal of ours carries one."""
    info = error_details_pb2.ErrorInfo()
    for detail in details_of(error):
        if detail.Unpack(info):
            return info
    raise AssertionError(f"no ErrorInfo in {error}")


def details_of(error: grpc.aio.AioRpcError) -> list[Any]:
    """The google.rpc details of an error."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            assert isinstance(value, bytes)
            return list(status_pb2.Status.FromString(value).details)
    return []
