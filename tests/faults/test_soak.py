"""Callers of every kind for a while: memory stays, nothing is lost or left, nothing unexplained is said.

The server stands still now and then.
"""

from __future__ import annotations

import asyncio
import math
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import linear_regression

import psutil
import pytest

from tests.support.metrics import Scrape, read
from tests.support.mix import Mix
from tests.support.otlp import Receiver, receiver
from tests.support.process import start_process

SHORT_S, LONG_S = 12, 1_800
CALLERS = 6
SLOPE_MIB_AN_HOUR = 1.0
ANY = {"sessions": math.inf, "tasks": math.inf, "files": math.inf}
FILES_MORE = 4
"""Than it had open after its first callers: pollers, exporters. Of any kind of call there are more."""
_GAUGES = (
    "streams",
    "analyses",
    "watchers",
    "sessions",
    "scores_in_flight",
    "detection_waiting",
    "spans_open",
    "tasks",
)


@pytest.fixture
def spans() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Memory:
    """What a process had, over time."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._began = time.monotonic()
        self.readings: list[tuple[float, float]] = []
        """Seconds, MiB."""

    async def watch(self, every_s: float) -> None:
        while True:
            resident = self._process.memory_info().rss / 2**20
            self.readings.append((time.monotonic() - self._began, resident))
            await asyncio.sleep(every_s)

    def ends(self, after_s: float) -> tuple[float, float]:
        """The first and the last reading from then on, in MiB."""
        later = [size for at, size in self.readings if at >= after_s]
        return later[0], later[-1]

    def slope(self, after_s: float) -> float:
        """MiB an hour from then on, by least squares."""
        seconds, sizes = zip(*(reading for reading in self.readings if reading[0] >= after_s), strict=True)
        return linear_regression(seconds, sizes).slope * 3_600


@pytest.mark.fault("soak")
@pytest.mark.timeout(LONG_S + 300)
async def test_memory_stays_and_nothing_is_lost_or_left(
    full: bool, tmp_path: Path, spans: Receiver, figure: Callable[[str], None]
) -> None:
    length_s = LONG_S if full else SHORT_S
    metrics = f"127.0.0.1:{free_port()}"
    process, address = start_process(
        environment={
            "AFFECTSTREAM_BUS__RETENTION_S": "20",  # what is retained for watchers fills up once, and soon
            "AFFECTSTREAM_SERVER__RESUME_S": "5",
            "AFFECTSTREAM_TELEMETRY__METRICS": "true",
            "AFFECTSTREAM_TELEMETRY__METRICS_ADDRESS": metrics,
            "AFFECTSTREAM_TELEMETRY__TRACES": spans.url,
        },
        log=tmp_path / "server.log",
    )
    try:
        server = psutil.Process(process.pid)
        mix = Mix(address, seed=13)
        forgetting = asyncio.create_task(forget(spans))
        await mix.each_once()
        assert await more_than(ANY, metrics, server) == {}
        idle, memory = await held(metrics, server), Memory(server)
        watching = asyncio.create_task(memory.watch(length_s / 300))
        stumbling = asyncio.create_task(stumble(server))
        await mix.run(CALLERS, length_s)
        await ended(watching, stumbling)
        left = await more_than({"tasks": idle["tasks"], "files": idle["files"] + FILES_MORE}, metrics, server)
        await ended(forgetting)
        calls, minutes = mix.done.total(), length_s / 60
        figure(
            f"{minutes:.1f} min: {calls:,} calls of {len(mix.done)} kinds, {mix.finals:,} finals, each once, "
            f"{len(mix.faults)} unexplained errors; idle before and after: {idle['tasks']} tasks, "
            f"{idle['files']} files and sockets, {left or 'nothing'} more"
        )
        slope, (first, last) = memory.slope(length_s / 3), memory.ends(length_s / 3)
        if full:
            figure(
                f"resident {first:.1f} to {last:.1f} MiB in the last {minutes * 2 / 3:.0f} min, "
                f"{slope:+.2f} MiB an hour (wanted: {SLOPE_MIB_AN_HOUR:g})"
            )
        assert mix.faults == []
        assert left == {}
        assert "Traceback" not in (tmp_path / "server.log").read_text(encoding="utf-8")
        if full:
            assert slope < SLOPE_MIB_AN_HOUR
    finally:
        process.kill()
        process.communicate()


async def forget(spans: Receiver) -> None:
    """The test's own memory is bounded, too."""
    while True:
        await asyncio.sleep(1)
        spans.spans.clear()


async def stumble(server: psutil.Process) -> None:
    """The process stands still for a moment, now and then, as on a machine that has too much to do."""
    chance = random.Random(13)  # noqa: S311 - the same moments each time
    while True:
        await asyncio.sleep(chance.uniform(1, 4))
        server.suspend()
        try:
            await asyncio.sleep(chance.uniform(0.05, 0.4))
        finally:
            server.resume()


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def held(metrics: str, server: psutil.Process) -> Counter[str]:
    """What a server has now: its gauges, connections to its ports by state, files and sockets."""
    seen = Scrape(await asyncio.to_thread(read, metrics))
    found = Counter({name: round(seen.value(f"affectstream_{name}")) for name in _GAUGES})
    sockets = server.net_connections("tcp")
    ports = {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN}
    found.update(
        f"connections in {one.status}"
        for one in sockets
        if one.laddr.port in ports and one.status != psutil.CONN_LISTEN
    )
    found["files"] = server.num_fds()
    return found


async def more_than(idle: Mapping[str, float], metrics: str, server: psutil.Process) -> dict[str, float]:
    """What it has more than ``idle`` a while after the last call; what is not named there is to be 0."""
    more: dict[str, float] = {}
    for _ in range(200):
        found = await held(metrics, server)
        more = {name: count - idle.get(name, 0) for name, count in found.items() if count > idle.get(name, 0)}
        if not more:
            break
        await asyncio.sleep(0.1)
    return more
