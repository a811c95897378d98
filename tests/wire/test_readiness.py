"""Liveness is the loop's, readiness the model's: what stops either, and what an orchestrator's probe sees."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.probe import main as probe
from tests.support.process import start_process
from tests.support.speech import sample_talk
from tests.support.waiting import waiting
from tests.support.wire import END, config, converse, error_info, finals, refusal, running_server, stream_talk
from tests.wire.resuming import calling

CANARY_S = 0.3
QUICK = ["--timeout", "0.5"]


async def becomes(address: str, status: int, within_s: float) -> None:
    """Wait until the probe ends with this exit status."""
    async with asyncio.timeout(40), waiting() as waited:
        while await asyncio.to_thread(probe, [address]) != status:
            await asyncio.sleep(0.02)
        assert waited.seconds < within_s


async def test_scoring_threads_that_hang_stop_readiness_and_not_liveness() -> None:
    go_on = threading.Event()
    async with running_server({"scoring": {"canary_s": CANARY_S}}) as server:
        pool = server.pipeline.router.default._pool._threads  # type: ignore[attr-defined] # hang its one thread
        assert await asyncio.to_thread(probe, [server.address]) == 0
        pool.submit(go_on.wait, 30)
        await becomes(server.address, 1, 5 * 2 * CANARY_S)
        assert await asyncio.to_thread(probe, [server.address, "--live"]) == 0
        error = await refusal(server.address, [config()])
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_READY")
        go_on.set()
        await becomes(server.address, 0, 5 * 2 * CANARY_S)
        events = await stream_talk(server.address, sample_talk()[: 16_000 * 8])
        assert finals(events)[0].status in (pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED)


async def test_a_loop_that_is_blocked_is_not_alive() -> None:
    async with running_server() as server:
        with ThreadPoolExecutor(1) as outside:
            for options in (["--live"], []):
                answer = outside.submit(probe, [server.address, *options, *QUICK])
                time.sleep(1.0)  # noqa: ASYNC251 - this blocks the server's loop, which is the test
                assert await asyncio.wrap_future(answer) == 1
        assert await asyncio.to_thread(probe, [server.address, "--live"]) == 0


async def test_a_stopped_process_is_not_alive_and_goes_on_where_it_was() -> None:
    process, address = start_process()
    try:
        assert await asyncio.to_thread(probe, [address, "--live"]) == 0
        os.kill(process.pid, signal.SIGSTOP)
        async with waiting() as waited:
            assert await asyncio.to_thread(probe, [address, "--live", *QUICK]) == 1
            assert waited.seconds < 5 * 0.5
        os.kill(process.pid, signal.SIGCONT)
        await becomes(address, 0, 10)
        assert (await converse(address, [config(), END]))[-1].HasField("session_closed")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.communicate()


async def test_a_second_signal_ends_at_once() -> None:
    process, address = start_process()
    try:
        async with calling(address, config()) as call:
            process.send_signal(signal.SIGTERM)
            await call.until(lambda events: events[-1].HasField("session_closing"))
            process.send_signal(signal.SIGTERM)
            async with waiting() as waited:
                assert await asyncio.to_thread(process.wait, 30) == 0
                assert waited.seconds < 5 * 1.0
            assert await call.to_the_end() is grpc.StatusCode.UNAVAILABLE
    finally:
        process.kill()
        assert "second signal" in process.communicate()[1]
