"""A row's process: it feeds talks at real time to one way of finding utterances, and reads its own clock.

Frames of 20 ms come due for all streams at once, or for a part of them at a time (``wakes``); streams begin
in different frames, so that their 32 ms blocks end at different times, as on a line. What this file does for
a row is the same for every row, and its cost is in each row's figure.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from bench.talks import Talks, samples_of

FRAME_MS: Final = 20
FRAME_SAMPLES: Final = 320
_PHASES: Final = 8
"""Frames after which blocks of 512 samples end where frames do again."""

Frame = TypeVar("Frame")


class Row(Protocol[Frame]):
    """One way of finding utterances in many streams, on one event loop."""

    def frame(self, data: bytes) -> Frame:
        """320 samples of 16-bit PCM as it takes them. Made before anything is timed."""
        ...

    async def start(self, streams: int) -> None:
        """Open so many streams."""
        ...

    async def push(self, due: Sequence[tuple[int, Frame]]) -> None:
        """Frames of some streams have come."""
        ...

    async def stop(self) -> int:
        """Close. Returns how many utterances it found; 0 where it does not say."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a row does."""

    talks: tuple[str, ...]
    streams: int
    seconds: float
    warmup_s: float
    wakes: int

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(map(Path, self.talks))


@dataclass(frozen=True, slots=True)
class Result:
    """What a row took in its window."""

    cpu_s: float
    """User and system time of the process, all of its threads."""
    audio_s: float
    rss_kib: float
    """The most memory that was resident, over all."""
    late_ms_p99: float
    """How much later than due frames were fed."""
    utterances: int
    """Found from beginning to end; 0 where it does not say."""


class Window:
    """Reads the process's clock where the window begins, and where it ends."""

    def __init__(self, plan: Plan) -> None:
        gc.collect()
        self.origin = time.monotonic() + 0.1
        self._starts = self.origin + plan.warmup_s
        self.ends = self._starts + plan.seconds
        self._cpu_s: float | None = None
        self._audio_s = 0.0
        self._late_ms: list[float] = []

    def fed(self, due: float, audio_s: float) -> None:
        """So much audio, due at ``due`` of `time.monotonic`, is about to be fed."""
        if due < self._starts:
            return
        if self._cpu_s is None:
            self._cpu_s = time.process_time()
        self._audio_s += audio_s
        self._late_ms.append((time.monotonic() - due) * 1_000)

    def result(self, utterances: Callable[[], int] = int) -> Result:
        """The window is over."""
        cpu_s = time.process_time() - (self._cpu_s or 0.0)
        return Result(
            cpu_s=cpu_s,
            audio_s=self._audio_s,
            rss_kib=float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
            late_ms_p99=float(np.percentile(self._late_ms, 99)),
            utterances=utterances(),
        )


async def feed(row: Row[Frame], plan: Plan) -> Result:
    """Run a row at real time."""
    talks = Talks(tuple(list(_frames(path)) for path in plan.files))
    made = {id(talk): [row.frame(data) for data in talk] for talk in talks.requests}
    streams = [(made[id(talk)], first) for talk, first in map(talks.of_stream, range(plan.streams))]
    await row.start(plan.streams)
    window = Window(plan)
    for wake in range(round((plan.warmup_s + plan.seconds) * 1_000 / FRAME_MS) * plan.wakes):
        period, part = divmod(wake, plan.wakes)
        due_at = window.origin + (period + part / plan.wakes) * FRAME_MS / 1_000
        due = [
            (stream, talk[(first + period) % len(talk)])
            for stream, (talk, first) in enumerate(streams)
            if stream % plan.wakes == part and period >= stream // plan.wakes % _PHASES
        ]
        await asyncio.sleep(max(0.0, due_at - time.monotonic()))
        window.fed(due_at, len(due) * FRAME_MS / 1_000)
        await row.push(due)
    await asyncio.sleep(max(0.0, window.ends - time.monotonic()))
    result = window.result()
    return Result(**asdict(result) | {"utterances": await row.stop()})


def _frames(path: Path) -> Iterator[bytes]:
    samples = samples_of(path)
    for start in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        yield samples[start : start + FRAME_SAMPLES].tobytes()


def parse(arguments: Sequence[str] | None = None) -> tuple[str, Plan]:
    """What a row's process is told: which of its module's rows, and the plan."""
    parser = argparse.ArgumentParser()
    parser.add_argument("row")
    parser.add_argument("plan")
    args = parser.parse_args(arguments)
    values: dict[str, Any] = json.loads(args.plan)
    return args.row, Plan(**values | {"talks": tuple(values["talks"])})


def tell(result: Result) -> None:
    """A row's answer."""
    sys.stdout.write(json.dumps(asdict(result)) + "\n")


def main(rows: dict[str, Callable[[], Row[Any]]]) -> None:
    """The process of a module that has these rows."""
    name, plan = parse()
    tell(asyncio.run(feed(rows[name](), plan)))
