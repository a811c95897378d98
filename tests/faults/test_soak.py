"""Callers of every kind for a while: memory stays, nothing is lost or left, nothing unexplained is said."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
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
_GAUGES = ("streams", "analyses", "watchers", "scores_in_flight", "detection_waiting", "spans_open")


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
        memory = Memory(server)
        mix = Mix(address, seed=13)
        watching = asyncio.create_task(memory.watch(length_s / 300))
        forgetting = asyncio.create_task(forget(spans))
        await mix.run(CALLERS, length_s)
        watching.cancel()
        left = await settled(metrics, server)
        forgetting.cancel()
        calls, minutes = mix.done.total(), length_s / 60
        figure(
            f"{minutes:.1f} min: {calls:,} calls of {len(mix.done)} kinds, {mix.finals:,} finals, each once, "
            f"{len(mix.faults)} unexplained errors"
        )
        assert mix.faults == []
        assert left == {}
        assert "Traceback" not in (tmp_path / "server.log").read_text(encoding="utf-8")
        if full:
            slope, (first, last) = memory.slope(length_s / 3), memory.ends(length_s / 3)
            figure(
                f"resident {first:.1f} to {last:.1f} MiB in the last {minutes * 2 / 3:.0f} min, "
                f"{slope:+.2f} MiB an hour (wanted: {SLOPE_MIB_AN_HOUR:g})"
            )
            assert slope < SLOPE_MIB_AN_HOUR
    finally:
        process.kill()
        process.communicate()


async def forget(spans: Receiver) -> None:
    """The test's own memory is bounded, too."""
    while True:
        await asyncio.sleep(1)
        spans.spans.clear()


async def settled(metrics: str, server: psutil.Process) -> dict[str, float]:
    """What is left a while after the last call: gauges of the server, and connections to it."""
    left: dict[str, float] = {"not": 1}
    for _ in range(100):
        seen = Scrape(await asyncio.to_thread(read, metrics))
        left = {name: seen.value(f"affectstream_{name}") for name in _GAUGES}
        ports = {c.laddr.port for c in server.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
        open_ones = [c for c in server.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
        left["connections"] = sum(c.laddr.port in ports for c in open_ones)
        left = {name: count for name, count in left.items() if count}
        if not left:
            break
        await asyncio.sleep(0.1)
    return left
