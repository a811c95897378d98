"""Time in the driver: one timer for the frames of all streams, and a probe of the server's loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from bench.channel import Channel
from bench.histogram import Histogram
from bench.scenario import Schedule
from bench.stream import Stream


async def until(when_ns: int) -> None:
    """Sleep to a moment of `time.monotonic_ns`."""
    await asyncio.sleep(max(0.0, (when_ns - time.monotonic_ns()) / 1e9))


async def pace(schedule: Schedule, streams: Sequence[Stream], progress: Callable[[float], None]) -> None:
    """Release every frame of every stream when it is due; tell the share that is done once a second."""
    scenario = schedule.scenario
    count, frames = len(streams), scenario.frames
    starts = [scenario.start_period(stream) for stream in range(count)]
    slots = scenario.periods * count
    slot = told_ns = 0
    while slot < slots:
        now_ns = due_ns = time.monotonic_ns()
        while slot < slots:
            period, stream = divmod(slot, count)
            due_ns = schedule.origin_ns + scenario.slot_ns(period, stream)
            if due_ns > now_ns:
                break
            frame = period - starts[stream]
            if 0 <= frame < frames:
                streams[stream].release(frame)
            slot += 1
        if now_ns - told_ns > 1_000_000_000:
            told_ns = now_ns
            progress(slot / slots)
        await until(due_ns)


class Probe:
    """A health check, answered when the server's event loop comes round to it: how far behind it is.

    Its time holds the driver's own timer and two trips through gRPC too; `idle` gives those alone.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def idle(self, count: int, interval_s: float) -> Histogram:
        """Ask ``count`` times from now on."""
        now_ns = time.monotonic_ns()
        return await self.ask(now_ns, now_ns + round(count * interval_s * 1e9), interval_s)

    async def ask(self, start_ns: int, end_ns: int, interval_s: float) -> Histogram:
        """Ask at ``interval_s`` between two moments; each time counts from when it was due."""
        times = Histogram()
        for due_ns in range(start_ns, end_ns, round(interval_s * 1e9)):
            await until(due_ns)
            await self._channel.check()
            times.record_ns(time.monotonic_ns() - due_ns)
        return times
