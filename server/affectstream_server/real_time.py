"""Streams at real time go first: what others bring meanwhile is bounded.

A caller who talks cannot wait, a recording can. While somebody talks, audio that comes faster than real time
and whole utterances are taken at a bounded rate over all tenants; while nobody does, as fast as they come.
"""

from __future__ import annotations

import time
from typing import Final

from affectstream_server.bucket import Bucket, Clock

_LIVE_S: Final = 1.0
"""So long after audio at real time more of it is expected."""
_BURST_S: Final = 1.0
"""Audio of this time may come at once after a quiet time."""


class RealTime:
    """Whether anybody is served at real time now, and what the rest may bring meanwhile."""

    def __init__(self, ahead_rate: float, clock: Clock = time.monotonic) -> None:
        """``ahead_rate``: seconds of audio a second; 0: no bound."""
        self._bucket = Bucket(ahead_rate, _BURST_S * ahead_rate, clock) if ahead_rate else None
        self._clock = clock
        self._live_until = 0.0

    @property
    def is_live(self) -> bool:
        """Audio at real time came within the last second."""
        return self._clock() < self._live_until

    def seen(self) -> None:
        """Audio at real time came."""
        self._live_until = self._clock() + _LIVE_S

    def take(self, seconds: float) -> float:
        """Take so much audio that is not at real time. Returns how many seconds its sender should wait."""
        if self._bucket is None or not self.is_live:
            return 0.0
        self._bucket.take(seconds)
        return self._bucket.wait_s()
