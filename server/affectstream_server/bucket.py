"""Bounds on what comes in a time: a bucket that may owe, and a window that counts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

Clock = Callable[[], float]


class Bucket:
    """Fills at ``rate`` a second up to ``burst``. Taking may empty it further: the next one waits."""

    def __init__(self, rate: float, burst: float, clock: Clock = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = burst
        self._at = clock()
        self.taken: Callable[[float], None] | None = None
        """Told what was taken here."""

    @property
    def level(self) -> float:
        """What is in it; below 0, what is owed."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    @property
    def is_full(self) -> bool:
        """Nothing was taken that has not come back."""
        return self.level >= self._burst

    def take(self, amount: float, *, own: bool = True) -> None:
        """Take out, whether it is there or not. ``own``: it was taken here, and not elsewhere."""
        self._level = self.level - amount
        if own and self.taken is not None:
            self.taken(amount)

    def wait_s(self, share: float = 0.0) -> float:
        """Seconds until it holds this ``share`` of its burst."""
        return max(0.0, (share * self._burst - self.level) / self._rate)


class Window:
    """At most ``limit`` in any ``period_s``."""

    def __init__(self, limit: int, period_s: float, clock: Clock = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._times: deque[float] = deque(maxlen=limit)
        self.limit = limit
        self.taken: Callable[[], None] | None = None
        """Told of each that was counted here."""

    @property
    def is_empty(self) -> bool:
        """None counts any more."""
        return not self._times or self._clock() - self._times[-1] >= self._period_s

    def wait_s(self) -> float:
        """Seconds until there is room for another."""
        if len(self._times) < self.limit:
            return 0.0
        return max(0.0, self._times[0] + self._period_s - self._clock())

    def take(self, *, own: bool = True) -> None:
        """Count one now. There must be room for it, unless it was taken elsewhere: not ``own``."""
        self._times.append(self._clock())
        if own and self.taken is not None:
            self.taken()
