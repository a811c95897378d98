"""The transport's arguments do what they are set for. gRPC ignores a misspelt one in silence.

Those about connections: test_connections.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cannot_listen import CannotListen
from tests.support.raw_grpc import RawGrpc
from tests.support.speech import sample_talk
from tests.support.wire import END, Request, audio, chunks, config, error_info, exchange, running_server, stub

FROZEN_S = 20
BUFFERED_BYTES = 2 * 32_000 + 65_536
"""Of LINEAR16 at 16 kHz: 2 s of it undecided, and gRPC's window. It takes the rest of a message, too."""

CLIENT = """
import asyncio, sys, grpc
from affectstream.v1 import affect_pb2 as pb, affect_pb2_grpc as rpc

async def main():
    async with grpc.aio.insecure_channel(sys.argv[1]) as channel:
        call = rpc.AffectServiceStub(channel).StreamAffect()
        form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16000)
        await call.write(pb.StreamAffectRequest(config=pb.SessionConfig(audio=form)))
        await call.read()
        print("started", flush=True)
        while True:
            await call.write(pb.StreamAffectRequest(audio=pb.AudioChunk(data=bytes(640))))
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


@pytest.mark.fault("frozen peer")
@pytest.mark.timeout(5 * FROZEN_S)
async def test_a_frozen_peer_is_noticed(tmp_path: Path, figure: Callable[[str], None]) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    async with running_server() as server:
        client = subprocess.Popen([sys.executable, str(script), server.address], stdout=subprocess.PIPE)
        try:
            assert client.stdout is not None
            assert await asyncio.to_thread(client.stdout.readline) == b"started\n"
            os.kill(client.pid, signal.SIGSTOP)
            frozen_at = time.monotonic()
            async with asyncio.timeout(5 * FROZEN_S - 10):
                while server.pipeline.streams:
                    await asyncio.sleep(0.1)
            figure(f"noticed after {time.monotonic() - frozen_at:.1f} s (wanted: {FROZEN_S})")
        finally:
            client.kill()
            client.communicate()


@pytest.mark.fault("faster than real time")
async def test_audio_that_is_not_read_stays_with_its_sender() -> None:
    sent = 0

    async def flood() -> AsyncIterator[Request]:
        nonlocal sent
        yield config()
        for _ in range(20):
            for chunk in chunks(sample_talk().tobytes(), 3_200):
                yield chunk
                sent += 3_200

    async with running_server({"scoring": {"max_pending_per_stream": 1, "speculate": False}}) as server:
        pool = server.pipeline.router.default._pool._threads  # type: ignore[attr-defined] # keep its one thread busy
        busy = pool.submit(time.sleep, 3.0)
        flooding = asyncio.create_task(exchange(server.address, flood(), []))
        await asyncio.sleep(2.0)
        (session,) = server.pipeline.sessions
        assert 0 < sent < 20 * 2 * len(sample_talk()), "the sender waits"
        unread = sent - 2 * session.hearing.frames
        assert unread <= 4 * 65_536, "a window of 64 KiB on either side, and what is in between"
        busy.result()
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)


@pytest.mark.fault("faster than real time")
@pytest.mark.parametrize("chunk_bytes", [640, 32_000])
async def test_what_a_fast_sender_gets_rid_of_is_bounded(
    chunk_bytes: int, figure: Callable[[str], None]
) -> None:
    """All that has left it and was not decided on: what waits for the detector, and what gRPC holds."""
    data = sample_talk().tobytes()
    sent = most = 0

    async def look() -> None:
        nonlocal most
        while True:
            for session in server.pipeline.sessions:
                undecided = max(channel.undecided for channel in session.channels)
                decided = session.hearing.frames - undecided
                most = max(most, sent + min(raw.under_way, chunk_bytes) - 2 * decided)
            await asyncio.sleep(0)

    async with running_server() as server, RawGrpc(server.address) as raw:
        looking = asyncio.create_task(look())
        stream = await raw.call("StreamAffect")
        await raw.message(stream, config().SerializeToString())
        for chunk in chunks(data, chunk_bytes):
            await raw.message(stream, chunk.SerializeToString())
            sent += len(chunk.audio.data)
        await raw.message(stream, END.SerializeToString(), end=True)
        assert await raw.answered(stream) == "status 0"
        looking.cancel()
        await asyncio.wait([looking])
    wanted = BUFFERED_BYTES + chunk_bytes
    figure(
        f"{chunk_bytes} bytes at a time: at most {most / 1_024:.0f} KiB undecided that had left the sender, "
        f"{most / 32_000:.2f} s of audio (wanted: {wanted / 1_024:.0f} KiB)"
    )
    assert wanted // 2 <= most <= wanted


async def test_two_servers_share_a_port_only_when_told_to(server_address: str) -> None:
    from affectstream_server.lifecycle import Server
    from affectstream_server.settings import load

    with pytest.raises(CannotListen, match=server_address):
        Server(load(environ={}, overrides={"server": {"address": server_address}}))
    async with running_server({"server": {"reuse_port": True}}) as first:
        shared = load(environ={}, overrides={"server": {"address": first.address, "reuse_port": True}})
        second = Server(shared)
        await second.start()
        assert second.address == first.address
        await second.drain_and_stop()


@pytest.mark.fault("message over the limit")
async def test_a_message_over_every_limit_is_refused_by_the_transport(server_address: str) -> None:
    from tests.support.wire import refusal

    error = await refusal(server_address, [config(), audio(bytes(11 * 1024 * 1024))])
    assert error.code().name == "RESOURCE_EXHAUSTED"


async def test_a_message_within_the_largest_limit_gets_as_far_as_our_own_checks(server_address: str) -> None:
    """gRPC's default would refuse it at 4 MiB."""
    form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    async with stub(server_address) as service:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await service.AnalyzeUtterance(
                pb.AnalyzeUtteranceRequest(audio=form, data=bytes(8 * 1024 * 1024))
            )
    assert error_info(error.value).reason == "UTTERANCE_TOO_LONG"
