"""What each thing costs that a core does: found so that the simulated core is as busy as the measured one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream.capacity.core import Costs, Load, Outcome, simulate
from affectstream.capacity.figures import Figures, FiguresError, Point

_ROUNDS: Final = 6
_MOST_STREAMS: Final = 5_000
_FULL: Final = 0.9
"""A core that is fuller says no more of what things cost."""
_FIRST: Final = Costs(wake_s=4e-5, message_s=4e-5, block_s=4e-5, embedded_s=2e-3, request_s=1e-3)
_ALIKE: Final = 0.3
"""How much it weighs, beside a point, that a wake-up and a message cost the same: they mostly come together,
and few points tell them apart."""

Matrix = NDArray[np.float64]


def load_of(figures: Figures, costs: Costs, kind: str, streams: int, frame_ms: int) -> Load:
    """Streams as those of the bench."""
    score_s = {"listen": 0.0, "service": costs.embedded_s, "recorded": costs.request_s}[kind]
    per_s = figures.utterances_per_minute / 60 / (1 - figures.wasted_share)
    return Load(streams, frame_ms, per_s if kind != "listen" else 0.0, score_s)


def streams_per_core(figures: Figures, costs: Costs, kind: str, frame_ms: int, share: float) -> int:
    """The most streams that take at most this share of a core, to one in a hundred."""
    low, high = 0, _MOST_STREAMS
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        taken = _share(load_of(figures, costs, kind, middle, frame_ms), costs)
        low, high = (middle, high) if taken <= share else (low, middle)
    return low


@lru_cache(maxsize=1_024)  # each search asks of the same loads first, each estimate what the one before did
def _share(load: Load, costs: Costs) -> float:
    return simulate(load, costs).share


def fit(figures: Figures) -> Costs:
    """Costs that explain the shares of a core that were measured. Raises `FiguresError`."""
    points = [point for point in figures.points if 0 < point.share < _FULL]
    if len({(point.streams, point.frame_ms) for point in points}) < 2:
        raise FiguresError(
            "all of its rows are of one number of streams and one frame length, or of a full core"
        )
    shares = np.array([point.share for point in points])
    costs = _FIRST
    for _ in range(_ROUNDS):
        outcomes = [simulate(_of(figures, costs, point), costs) for point in points]
        rates = np.array([list(_rates(point, one)) for point, one in zip(points, outcomes, strict=True)])
        scaled = rates / shares[:, None]
        alike = _ALIKE * scaled[:, 1].max() * np.array([[1.0, -1.0, 0.0, 0.0, 0.0]])
        found = _not_negative(np.vstack([scaled, alike]), np.array([*np.ones(len(points)), 0.0]))
        costs = Costs(*((old + new) / 2 for old, new in zip(astuple(costs), found.tolist(), strict=True)))
    return costs


def _of(figures: Figures, costs: Costs, point: Point) -> Load:
    return load_of(figures, costs, point.kind, point.streams, point.frame_ms)


def _rates(point: Point, outcome: Outcome) -> Iterator[float]:
    yield outcome.wakes_per_s
    yield outcome.messages_per_s
    yield outcome.blocks_per_s
    yield outcome.scores_per_s if point.kind == "service" else 0.0
    yield outcome.scores_per_s if point.kind == "recorded" else 0.0


def _not_negative(rates: Matrix, wanted: Matrix) -> Matrix:
    """The least squares whose factors are 0 or more: the best of all subsets of columns."""
    best, least = np.zeros(rates.shape[1]), float(wanted @ wanted)
    columns: Sequence[int] = [one for one in range(rates.shape[1]) if rates[:, one].any()]
    for size in range(1, len(columns) + 1):
        for chosen in combinations(columns, size):
            part, *_ = np.linalg.lstsq(rates[:, chosen], wanted, rcond=None)
            error = float(((rates[:, chosen] @ part - wanted) ** 2).sum())
            if (part >= 0).all() and error < least:
                best, least = np.zeros(rates.shape[1]), error
                best[list(chosen)] = part
    return best
