"""What no proper client sends: bytes that are no HTTP/2, HTTP/2 that is no gRPC, gRPC that is no message.

Each is refused or its connection closed, nothing of ours is told, and a caller beside it notices nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from affectstream import AffectClient, ConnectError, Tls
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.edge import arguments
from affectstream_server.lifecycle import Server
from tests.support.http2 import PREFACE
from tests.support.pki import Pki
from tests.support.raw_grpc import RawGrpc
from tests.support.speech import sample_talk
from tests.support.triton import seen
from tests.support.wire import END, Request, audio, config, finals, of_kind, running_server, stub
from tests.wire.resuming import Call, frames

CONFIG = config().SerializeToString()
FRAME = audio(bytes(640)).SerializeToString()
DATA = sample_talk().tobytes()
CALLER = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, stall_ms=60_000)
OURS = re.compile(
    rb"Traceback|affectstream_server|\.py\b|0x[0-9a-f]{6}|DecodeError|asyncio|google\.protobuf", re.I
)
"""What would tell of the inside."""
RESETS, MANY_RESETS = 300, 5_000


@asynccontextmanager
async def beside_a_caller(server: Server) -> AsyncIterator[None]:
    """A conversation that goes on all the while, and has its final after it."""
    async with stub(server.address) as service:
        call = Call(service.StreamAffect(), config(endpointing=CALLER))
        begin = Request(control=pb.Control(speech_started=pb.CallerSpeechStarted()))
        await call.send([config(endpointing=CALLER), begin, *frames(DATA, 16_000, 32_000)])
        await call.until(lambda events: of_kind(events, "speech_started"))
        yield
        await seen(lambda: server.pipeline.streams == 1, 10)
        await call.send([*frames(DATA, 32_000, 48_000), END])
        await call.call.done_writing()
        assert await call.to_the_end() is grpc.StatusCode.OK
        (final,) = finals(call.events)
        assert final.audio_end.seconds == 2


NO_HTTP2: dict[str, bytes] = {
    "nothing but noise": os.urandom(4_096),
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "a hello of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
    "noise after the preface": PREFACE + os.urandom(4_096),
    "a frame of 16 MiB": PREFACE + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(65_536),
    "data of no stream": PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x04\0\0\0\0\0\x07" + b"data",
    "headers that cannot be unpacked": PREFACE
    + b"\0\0\0\x04\0\0\0\0\0"
    + b"\0\0\x04\x01\x04\0\0\0\x01\xff\xff\xff\xff",
    "settings of a wrong length": PREFACE + b"\0\0\x05\x04\0\0\0\0\0" + bytes(5),
    "a window of too much": PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\xff\xff" * 3,
    "continuation of nothing": PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x04\x09\0\0\0\0\x01" + bytes(4),
}


@pytest.mark.fault("garbage")
@pytest.mark.parametrize("what", NO_HTTP2)
async def test_what_is_no_http2_is_closed_and_told_nothing(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "KEEPALIVE_MS", 300)  # what is ignored is closed as a peer that is frozen
    monkeypatch.setattr(arguments, "PING_TIMEOUT_MS", 500)
    async with running_server() as server, beside_a_caller(server):
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(NO_HTTP2[what])
        told = b""
        with suppress(ConnectionError):
            await writer.drain()
            async with asyncio.timeout(5 * 5):  # closed at once, or as a handshake that does not come
                while data := await reader.read(65_536):
                    told += data
        writer.close()
        assert not OURS.search(told), told


Step = Callable[[RawGrpc], Awaitable[int]]


async def _cut_short(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, CONFIG, length=len(CONFIG) + 100, end=True)
    return stream


async def _compressed(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, CONFIG, flag=1)
    return stream


async def _unknown_flag(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, CONFIG, flag=0x7F)
    return stream


async def _four_gigabytes(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, FRAME, length=2**32 - 1)
    return stream


async def _unknown_compression(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect", ("grpc-encoding", "of-my-own"))
    await raw.message(stream, CONFIG, flag=1)
    return stream


async def _bomb(raw: RawGrpc) -> int:
    import gzip

    stream = await raw.call("StreamAffect", ("grpc-encoding", "gzip"))
    await raw.message(stream, gzip.compress(bytes(100 * 2**20)), flag=1)
    return stream


async def _no_message(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, random.Random(3).randbytes(2_000))  # noqa: S311 - the same each time
    return stream


async def _after_the_config(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, CONFIG)
    await raw.message(stream, b"\xff" * 64)
    return stream


async def _no_such_method(raw: RawGrpc) -> int:
    return await raw.call("Explode")


async def _no_request(raw: RawGrpc) -> int:
    stream = await raw.call("GetServerInfo")
    await raw.end(stream)
    return stream


async def _another_service(raw: RawGrpc) -> int:
    return await raw.call("", path="/../../etc/passwd")


async def _another_kind(raw: RawGrpc) -> int:
    return await raw.call("StreamAffect", content_type="text/html")


async def _with_get(raw: RawGrpc) -> int:
    return await raw.call("StreamAffect", method="GET")


async def _bad_time_out(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect", ("grpc-timeout", "-1 fortnight"))
    await raw.message(stream, FRAME)
    return stream


async def _bad_trace(raw: RawGrpc) -> int:
    stream = await raw.call("StreamAffect", ("traceparent", "00-" + "z" * 500), ("x-odd-bin", "%%%"))
    await raw.message(stream, FRAME)
    return stream


async def _much_metadata(raw: RawGrpc) -> int:
    return await raw.call("StreamAffect", *((f"x-{number}", "y" * 1_000) for number in range(40)))


NO_GRPC: dict[str, Step] = {
    step.__name__.strip("_").replace("_", " "): step
    for step in (
        *(_cut_short, _compressed, _unknown_flag, _four_gigabytes, _unknown_compression, _bomb),
        *(_no_message, _after_the_config, _no_such_method, _another_service, _another_kind, _with_get),
        *(_bad_time_out, _bad_trace, _much_metadata, _no_request),
    )
}


@pytest.mark.fault("garbage")
@pytest.mark.parametrize("what", NO_GRPC)
async def test_what_is_no_call_of_ours_is_refused_and_told_nothing(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affectstream_server.edge.service.CONFIG_DEADLINE_S", 1.0)
    async with running_server() as server, beside_a_caller(server):
        async with RawGrpc(server.address) as raw:
            stream = await NO_GRPC[what](raw)
            ended = await raw.answered(stream)
        told = repr(raw.answers).encode() + b"".join(raw.data.values()) + (raw.farewell or b"")
        assert not OURS.search(told), told
        assert ended != "status 0" or not raw.data[stream], "it is not taken for a good call"
        assert ended != "status 2", "UNKNOWN is the transport's word for a fault of ours"


@pytest.mark.fault("garbage")
async def test_a_path_that_is_no_text_closes_nobody_out_by_tls(tmp_path: Path) -> None:
    """What gRPC has of a certificate serves for one server only."""
    pki = Pki(tmp_path)
    tls = {"cert_file": pki.server.cert, "key_file": pki.server.key}
    async with running_server({"tls": tls}) as server:
        for _ in range(3):
            async with RawGrpc(server.address, ca_file=pki.ca) as raw:
                await raw.call("", path=b"/\xff")
                await raw.closed.wait()
            async with asyncio.timeout(10):
                while not await answers(server.address, Tls(ca_file=pki.ca, server_name="localhost")):
                    await asyncio.sleep(0.01)


async def answers(address: str, tls: Tls) -> bool:
    try:
        async with AffectClient(address, tls=tls) as client:
            return bool((await client.server_info()).models)
    except ConnectError:
        return False


@pytest.mark.fault("garbage")
async def test_a_path_that_is_no_text_closes_nobody_out() -> None:
    """gRPC stops accepting calls at it: another server takes its place, at the same address."""
    async with running_server() as server:
        for _ in range(3):
            async with beside_a_caller(server):
                async with RawGrpc(server.address) as raw:
                    await raw.call("", path=b"/affectstream.v1.AffectService/\xff\xfe")
                    await raw.closed.wait()
                async with asyncio.timeout(10), stub(server.address) as service:
                    info = await service.GetServerInfo(pb.GetServerInfoRequest(), wait_for_ready=True)
                    assert info.models


@pytest.mark.fault("garbage", "lost call")
async def test_calls_that_are_reset_as_they_are_opened_cost_nobody_anything(
    full: bool, figure: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """As in CVE-2023-44487: headers, reset, headers, reset."""
    count, reset = MANY_RESETS if full else RESETS, 0
    async with running_server() as server, beside_a_caller(server):
        while reset < count:
            async with RawGrpc(server.address) as raw:
                with suppress(ConnectionError):
                    for _ in range(100):
                        await raw.reset(await raw.call("StreamAffect"))
                        reset += 1
                        if raw.closed.is_set():
                            break
        await seen(lambda: server.pipeline.streams == 1, 10)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    figure(f"{reset:,} calls reset as they were opened, 0 left")
