"""An inference server with dynamic batching on one GPU, as Triton does it: requests in the order in which
they come, in batches of preferred sizes, and what waits longest not much longer than the queue's delay."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
_REQUESTS: Final = 20_000
_WARMUP: Final = 1_000


@dataclass(frozen=True, slots=True)
class Scorer:
    """One instance of a model on one GPU; the batch sizes are those of triton_repo/meralion_ser."""

    rate_per_s: float
    """Windows a second in large batches."""
    overhead: float = 1.0
    """What a batch costs beside its windows, in windows: a small batch fills no GPU."""
    sizes: tuple[int, ...] = (4, 8, 16, 32)
    delay_s: float = 0.005

    def batch_s(self, size: int) -> float:
        """How long a batch takes."""
        return (size + self.overhead) / self.rate_per_s

    @property
    def most_per_s(self) -> float:
        """Windows a second in the largest batches, without an end."""
        return self.sizes[-1] / self.batch_s(self.sizes[-1])


def waits_s(scorer: Scorer, rate_per_s: float, seed: int = 1) -> Times:
    """From request to answer, of requests that come at random, ``rate_per_s`` a second."""
    random = np.random.default_rng(seed)
    arrivals = [*np.cumsum(random.exponential(1 / rate_per_s, _REQUESTS)).tolist(), inf]
    done = np.empty(_REQUESTS)
    free_s = 0.0
    first = 0
    while first < _REQUESTS:
        now = max(free_s, arrivals[first])
        waiting = bisect_right(arrivals, now, first) - first
        size = max((one for one in scorer.sizes if one <= waiting), default=0)
        if not size:  # wait for the least preferred size, or for the delay
            least = scorer.sizes[0]
            full = arrivals[first + least - 1] if first + least <= _REQUESTS else inf
            now = max(now, min(full, arrivals[first] + scorer.delay_s))
            size = min(bisect_right(arrivals, now, first) - first, least)
        free_s = now + scorer.batch_s(size)
        done[first : first + size] = free_s
        first += size
    waits: Times = done - np.array(arrivals[:-1])
    return waits[_WARMUP:]


def finals_ms(waits: Times, hit_share: float, lead_ms: float, seed: int = 2) -> Times:
    """From endpoint to score. Of ``hit_share`` the score was asked for ``lead_ms`` before the endpoint."""
    ahead = np.random.default_rng(seed).random(len(waits)) < hit_share
    late: Times = np.maximum(waits * 1_000 - np.where(ahead, lead_ms, 0.0), 0.0)
    return late


def best_rate(scorer: Scorer, *, hit_share: float, lead_ms: float, objective_ms: float) -> float:
    """The most requests a second with 99 % answered within ``objective_ms`` of the endpoint; 0: none."""
    low, high = 0.0, 0.98 * scorer.most_per_s
    for _ in range(9):
        middle = (low + high) / 2
        late_ms = np.percentile(finals_ms(waits_s(scorer, middle), hit_share, lead_ms), 99)
        low, high = (middle, high) if late_ms <= objective_ms else (low, middle)
    return low
