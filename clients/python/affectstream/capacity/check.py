"""The simulation beside what was measured: it may be believed as far as they agree."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from affectstream.capacity.assumptions import DEFAULTS
from affectstream.capacity.core import Costs, simulate
from affectstream.capacity.figures import Figures
from affectstream.capacity.fit import load_of, streams_per_core

_IN_TIME_MS = 150.0


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, predicted and measured."""

    what: str
    figure: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return self.predicted / self.measured - 1 if self.measured else 0.0


def rows(figures: Figures, costs: Costs) -> list[Row]:
    """The points that the costs were fitted to, by their shares; and the overload, which they were not."""
    found: list[Row] = []
    for point in figures.points:
        outcome = simulate(load_of(figures, costs, point.kind, point.streams, point.frame_ms), costs)
        name = f"{point.kind} {point.streams} × {point.frame_ms} ms"
        found.append(Row(name, "share of the core", outcome.share, point.share))
        if point.decision_p99 is not None:
            found.append(Row(name, "decision_lag_ms p99", _p99(outcome.decision_ms), point.decision_p99))
    for frame_ms, streams in figures.streams_per_core.items():
        if streams:  # else the search found none that held
            held = streams_per_core(figures, costs, "recorded", int(frame_ms), DEFAULTS.core_share)
            found.append(Row(f"recorded × {frame_ms} ms", "streams a core", held, streams))
    return found


def overload(figures: Figures, costs: Costs) -> list[Row]:
    """Goodput and p99 of each side of the overload."""
    found: list[Row] = []
    for side in figures.overload:
        load = load_of(figures, costs, "recorded", side.streams, 20)
        outcome = simulate(replace(load, seconds=side.seconds, before_s=side.before_s), costs)
        late_ms = outcome.decision_ms + outcome.final_ms
        in_time = float((late_ms <= _IN_TIME_MS).mean()) if len(late_ms) else 0.0
        goodput = side.streams * figures.utterances_per_minute / 60 * in_time
        found.append(Row(side.name, "finals a second in time", goodput, side.goodput_per_s))
        if side.share is not None:
            found.append(Row(side.name, "share of the core", outcome.share, side.share))
        if side.client_p99 is not None:
            found.append(Row(side.name, "client_lag_ms p99", _p99(late_ms), side.client_p99))
    return found


def _p99(times: NDArray[np.float64]) -> float:
    return float(np.percentile(times, 99)) if len(times) else 0.0
