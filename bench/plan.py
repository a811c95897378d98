"""What `python -m bench` does: all of it in under five minutes, or as much as figures for the docs take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.overhead_streams import Load
from bench.scenario import Scenario
from bench.vad.rows import VadRow

Step = Scenario | VadRow


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts, in the order in which they run."""

    rounds: Sequence[Sequence[Step]]
    """Steps by round: in each round they take turns."""
    searches: Sequence[Scenario]
    """Where the search for the most streams begins."""
    search_runs: int
    """Runs of each search, at most."""
    idle_streams: int
    churn_minutes: float
    overload_rounds: int
    admit_all: bool
    """Let all of the overload in, too, in runs of their own."""
    overhead: Sequence[Load]
    seconds: float
    """Of the windows of searches and of the overload."""


def _floors(frame_ms: int) -> list[Step]:
    return [Scenario(100, frame_ms, kind="listen"), Scenario(100, frame_ms, kind="floor")]


_LEAST: Final[list[Step]] = [
    *_floors(20),
    VadRow("batched", 100),
    VadRow("ours-stages", 100),
    VadRow("ours", 100),
]
_SCORED: Final[list[Step]] = [Scenario(100, 20), Scenario(100, 100)]
_PEERS: Final[list[Step]] = [
    VadRow("ours", 20),
    VadRow("ours-stages", 20),
    VadRow("batched", 20),
    VadRow("livekit-silero", 20),
    VadRow("livekit-built-in", 20),
    VadRow("pipecat", 10),
]
_ONCE: Final[list[Step]] = [Scenario(50, 20, kind="late"), Scenario(100, 20, kind="websocket")]


def _timed(steps: Sequence[Step], seconds: float, warmup_s: float) -> list[Step]:
    return [replace(step, seconds=seconds, warmup_s=warmup_s) for step in steps]


QUICK: Final = Plan(
    rounds=[
        _timed([*_LEAST, *_floors(100), *_SCORED, *_ONCE], 3.0, 1.0),
        _timed([*_LEAST, *_PEERS], 3.0, 1.0),
        _timed([*_LEAST, *_floors(100), *_SCORED], 3.0, 1.0),
    ],
    searches=[Scenario(120, 20, kind="recorded"), Scenario(250, 100, kind="recorded")],
    search_runs=2,
    idle_streams=1_000,
    churn_minutes=0.0,
    overload_rounds=1,
    admit_all=False,
    overhead=[Load(1, 8.0, 8.0), Load(50, 1.0, 8.0)],
    seconds=3.0,
)
"""Under five minutes on two cores that do nothing else."""

_FULL_STEPS: Final[list[Step]] = [
    *_LEAST,
    *_floors(40),
    *_floors(100),
    *_SCORED,
    Scenario(100, 40),
    *_ONCE,
    Scenario(10, 20),
    Scenario(50, 20),
    Scenario(100, 20, kind="recorded"),
    Scenario(50, 20, kind="triton"),
    Scenario(100, 100, kind="websocket"),
    Scenario(100, 20, kind="listen", processes=2),
    Scenario(100, 20, processes=2),
    *_PEERS,
    VadRow("plain", 20),
    VadRow("plain", 100),
]
FULL: Final = Plan(
    rounds=[_timed(_FULL_STEPS, 4.0, 1.0)] * 5,
    searches=[
        Scenario(streams, frame_ms, kind=kind, processes=processes)
        for kind in ("recorded", "service")
        for streams, frame_ms in ((120, 20), (180, 40), (250, 100))
        for processes in (1, 2)
    ],
    search_runs=4,
    idle_streams=1_000,
    churn_minutes=20.0,
    overload_rounds=2,
    admit_all=True,
    overhead=[Load(1, 8.0, 30.0), Load(50, 1.0, 30.0)],
    seconds=4.0,
)
"""About an hour; the machine must have nothing else to do."""
