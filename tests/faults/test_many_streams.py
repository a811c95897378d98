"""Very many streams: what an idle one costs, and that those that came and went leave nothing."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.process import start_process
from tests.support.wire import audio, config, converse, stub

CONNECTIONS = 10
IDLE, MANY_IDLE = 200, 1_000
IDLE_KIB, IDLE_CPU = 40, 0.01
LOOK_S, LONG_LOOK_S = 2.0, 10.0
LEFT, MANY_LEFT = 500, 5_000
ROUNDS, MANY_ROUNDS, WARM_UP = 8, 10, 2
AT_ONCE = 50
LEAK_BYTES, SMALL_LEAK_BYTES = 600, 100
"""Of a stream. In short up to 400 where nothing leaks, and 850 or more where a KiB does."""
PLAIN_MEMORY = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""What is resident follows what is in use: with arenas it went up and down by 3 MiB."""
Service = Any


@asynccontextmanager
async def server_process(folder: Path, **more: str) -> AsyncIterator[tuple[psutil.Process, str]]:
    """A server of its own, that has heard a caller or two already; ``more`` goes into its environment."""
    settings = {"AFFECTSTREAM_SERVER__MAX_STREAMS": "2000", "AFFECTSTREAM_BUS__RETENTION_S": "1"}
    process, address = start_process(environment=settings | more, log=folder / "log")
    try:
        for _ in range(20):
            await converse(address, [config(), audio(bytes(3_200))])
        yield psutil.Process(process.pid), address
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def resident_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 2**20)


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@pytest.mark.fault("idle streams")
@pytest.mark.timeout(300)
async def test_a_thousand_idle_streams_cost_little(
    full: bool, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    count, look_s = (MANY_IDLE, LONG_LOOK_S) if full else (IDLE, LOOK_S)
    async with server_process(tmp_path) as (process, address), AsyncExitStack() as stack:
        services = [await stack.enter_async_context(stub(address)) for _ in range(CONNECTIONS)]
        await asyncio.gather(*(s.GetServerInfo(pb.GetServerInfoRequest()) for s in services))
        before = resident_mib(process)
        calls = [services[number % CONNECTIONS].StreamAffect() for number in range(count)]
        for call in calls:
            await call.write(config())
            await call.read()
        each_kib = (resident_mib(process) - before) * 1_024 / count
        began = cpu_s(process)
        await asyncio.sleep(look_s)
        share = (cpu_s(process) - began) / look_s
        figure(
            f"{count:,} streams: {each_kib:.1f} KiB each (wanted: {IDLE_KIB}), "
            f"{100 * share:.1f} % of a core in all (wanted: {100 * IDLE_CPU:.0f})"
        )
        for call in calls:
            call.cancel()
        assert share <= 5 * IDLE_CPU
        assert not full or each_kib <= IDLE_KIB  # of a few, what the process takes at a time says nothing


@pytest.mark.fault("opened and cancelled")
@pytest.mark.timeout(900)
async def test_memory_is_flat_when_streams_are_opened_and_cancelled_again(
    full: bool, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    rounds, count, most = (MANY_ROUNDS, MANY_LEFT, SMALL_LEAK_BYTES) if full else (ROUNDS, LEFT, LEAK_BYTES)

    async def leave(service: Service) -> None:
        call = service.StreamAffect()
        await call.write(config())
        await call.read()
        await call.write(audio(bytes(3_200)))
        call.cancel()

    async with server_process(tmp_path, **PLAIN_MEMORY) as (process, address), stub(address) as service:
        resident = []
        for _ in range(rounds + WARM_UP):
            for _ in range(count // AT_ONCE):
                await asyncio.gather(*(leave(service) for _ in range(AT_ONCE)))
            await asyncio.sleep(2.2)  # what is retained for watchers goes, and is looked for each second
            resident.append(resident_mib(process))
    each = leaked_bytes(resident[WARM_UP:], count)
    figure(
        f"{rounds} times {count:,} streams: {', '.join(f'{size:.1f}' for size in resident[WARM_UP:])} MiB; "
        f"{each:+.0f} bytes a stream (wanted: {most})"
    )
    assert each <= most


def leaked_bytes(resident_mib: Sequence[float], count: int) -> float:
    """What each of a round's streams left: what leaks does so each time, and an allocator takes only once."""
    return median(later - earlier for earlier, later in pairwise(resident_mib)) * 2**20 / count


def test_a_leak_among_noise_is_one_and_noise_is_none() -> None:
    noise = [127.3, 127.4, 127.4, 129.1, 128.6, 128.6]
    leak_mib = LEFT * 1_024 / 2**20
    assert leaked_bytes(noise, LEFT) < LEAK_BYTES / 2
    assert leaked_bytes([size + leak_mib * n for n, size in enumerate(noise)], LEFT) > LEAK_BYTES
