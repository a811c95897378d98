"""Callers that are gone in the middle of an utterance: no final, and nothing of them is left."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import grpc
import psutil
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from tests.support.fault_proxy import FaultProxy
from tests.support.raw_grpc import RawGrpc
from tests.support.speech import sample_talk
from tests.support.triton import seen
from tests.support.watching import EARLIEST, of_session, watching
from tests.support.wire import Request, audio, config, finals, of_kind, running_server, stub

FREED_MS = 200
TIMES = 5
DATA = sample_talk().tobytes()
REQUESTS = [
    config(
        session_id="lost",
        endpointing=pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, stall_ms=60_000),
    ),
    Request(control=pb.Control(speech_started=pb.CallerSpeechStarted())),
    *(audio(DATA[start : start + 3_200]) for start in range(32_000, 64_000, 3_200)),
]
PROGRAM = """
import sys, time, grpc
from affectstream.v1 import affect_pb2_grpc as rpc
from tests.faults.test_lost_calls import REQUESTS

def talk():
    yield from REQUESTS
    time.sleep(60)

with grpc.insecure_channel(sys.argv[1]) as channel:
    for _ in rpc.AffectServiceStub(channel).StreamAffect(talk()):
        print(flush=True)
"""
Way = Callable[[str], AbstractAsyncContextManager[Callable[[], object]]]
"""Calls at an address, and gives what ends the call."""


@asynccontextmanager
async def cancelled(address: str) -> AsyncIterator[Callable[[], object]]:
    async with stub(address) as service:
        call = service.StreamAffect()
        for request in REQUESTS:
            await call.write(request)
        yield call.cancel


@asynccontextmanager
async def out_of_time(address: str) -> AsyncIterator[Callable[[], object]]:
    async with stub(address) as service:
        call = service.StreamAffect(timeout=0.6)
        for request in REQUESTS:
            await call.write(request)

        def wait() -> float:
            """It ends by itself: when, on the clock of the others."""
            return time.monotonic() + (call.time_remaining() or 0.0)

        yield wait


@asynccontextmanager
async def reset(address: str) -> AsyncIterator[Callable[[], object]]:
    async with RawGrpc(address) as raw:
        stream = await raw.call("StreamAffect")
        for request in REQUESTS:
            await raw.message(stream, request.SerializeToString())
        tasks: list[asyncio.Task[None]] = []
        yield lambda: tasks.append(asyncio.create_task(raw.reset(stream)))
        await asyncio.gather(*tasks)


@asynccontextmanager
async def through_a_proxy(address: str, *, politely: bool) -> AsyncIterator[Callable[[], object]]:
    async with FaultProxy(address) as proxy, stub(proxy.address) as service:
        call = service.StreamAffect()
        for request in REQUESTS:
            await call.write(request)
        yield lambda: proxy.cut(politely=politely) and None
        call.cancel()


@asynccontextmanager
async def killed(address: str) -> AsyncIterator[Callable[[], object]]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, address], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        yield process.kill
    finally:
        process.kill()
        process.communicate()


WAYS: dict[str, Way] = {
    "cancelled": cancelled,
    "out of time": out_of_time,
    "stream reset": reset,
    "connection reset": lambda address: through_a_proxy(address, politely=False),
    "connection closed": lambda address: through_a_proxy(address, politely=True),
    "killed with SIGKILL": killed,
}


def connections(address: str) -> int:
    """Those that this server holds."""
    port = int(address.rpartition(":")[2])
    held = psutil.Process().net_connections("tcp")
    return sum(c.status != psutil.CONN_LISTEN and c.laddr.port == port for c in held)


async def freed_ms(server: Server, how: str) -> float:
    """How long until a call that was lost so is forgotten; what its watcher was told is as it should be."""
    async with WAYS[how](server.address) as lose:
        await seen(lambda: any(s.listening.open_utterance_id for s in server.pipeline.sessions))
        async with watching(server.address, of_session("lost", start=EARLIEST)) as watch:
            began = time.monotonic()
            ends = lose()
            await seen(lambda: not server.pipeline.streams and not len(server.pipeline.sessions))
            took_s = time.monotonic() - (ends if isinstance(ends, float) else began)
            assert await watch.to_the_end() is grpc.StatusCode.OK
    assert finals(watch.events) == []
    (opened,) = of_kind(watch.events, "speech_started")
    closed = watch.events[-1].session_closed
    assert (closed.reason, closed.open_utterance_id) == (pb.CLOSE_REASON_ABANDONED, opened.utterance_id)
    return 1_000 * took_s


@pytest.mark.fault("lost call")
@pytest.mark.parametrize("how", WAYS)
async def test_a_lost_call_frees_all_that_it_had(how: str, figure: Callable[[str], None]) -> None:
    async with running_server() as server:
        took_ms = [await freed_ms(server, how) for _ in range(TIMES if how != "killed with SIGKILL" else 1)]
        await seen(lambda: not connections(server.address), 5)
    figure(f"{how}: freed after {max(took_ms):.0f} ms at most (wanted: {FREED_MS})")
    assert max(took_ms) <= 5 * FREED_MS
