"""A reader that takes nothing: what waits for it is bounded, and it is cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from tests.support.raw_grpc import RawGrpc
from tests.support.speech import sample_talk
from tests.support.triton import seen
from tests.support.watching import EARLIEST, of_session, watching
from tests.support.wire import chunks, config, of_kind, running_server

DATA = sample_talk().tobytes()


@pytest.mark.fault("slow reader")
async def test_who_reads_nothing_is_cut_off_after_five_seconds(figure: Callable[[str], None]) -> None:
    asked = config(session_id="unread", outputs=pb.OutputConfig(progress_interval_ms=100, embedding=True))
    most = 0

    async def flood(raw: RawGrpc, stream: int) -> None:
        await raw.message(stream, asked.SerializeToString())
        while True:
            for chunk in chunks(DATA, 3_200):
                await raw.message(stream, chunk.SerializeToString())

    async def look() -> None:
        nonlocal most
        while True:
            most = max([most, *(session.events._bytes for session in server.pipeline.sessions)])
            await asyncio.sleep(0.01)

    async with running_server() as server, RawGrpc(server.address, reads=False, window=0) as raw:
        flooding = asyncio.create_task(flood(raw, await raw.call("StreamAffect")))
        looking = asyncio.create_task(look())
        await seen(lambda: server.pipeline.streams, 10)
        began = time.monotonic()
        await seen(lambda: not server.pipeline.streams, 5 * LIMITS.slow_reader_ms / 1_000)
        took_s = time.monotonic() - began
        for task in (flooding, looking):
            task.cancel()
        await asyncio.wait([flooding, looking])
        with suppress(TimeoutError):
            async with watching(server.address, of_session("unread", start=EARLIEST)) as watch:
                await watch.to_the_end(2)
    figure(f"cut after {took_s:.1f} s (wanted: 5), at most {most / 1_024:.0f} KiB of events (wanted: 256)")
    assert most <= LIMITS.event_queue_bytes
    assert of_kind(watch.events, "session_closed")[-1].reason == pb.CLOSE_REASON_SLOW_READER
