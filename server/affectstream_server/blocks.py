"""Channels whose blocks wait for the detector: those at real time first, and each tenant in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from affectstream_server.bucket import Clock
from affectstream_server.round_robin import RoundRobin

Entry = TypeVar("Entry")
_AHEAD_MOST: Final = 8
"""Blocks of streams ahead of real time in a batch, while others are at real time: about a millisecond."""
_LIVE_S: Final = 1.0
"""So long after a block at real time more of them are expected."""


class Blocks(Generic[Entry]):
    """Two lanes. What comes faster than real time takes what the others leave, and a part of each batch."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._live: RoundRobin[Entry] = RoundRobin()
        self._ahead: RoundRobin[Entry] = RoundRobin()
        self._clock = clock
        self._live_until = 0.0

    def __bool__(self) -> bool:
        return bool(self._live or self._ahead)

    def add(self, tenant: str, entry: Entry, *, ahead: bool) -> None:
        """Let an entry wait. ``ahead``: its stream is ahead of real time."""
        if ahead:
            self._ahead.add(tenant, entry)
        else:
            self._live.add(tenant, entry)
            self._live_until = self._clock() + _LIVE_S

    def take(self, most: int) -> list[Entry]:
        """The next batch, at most so many."""
        batch = self._live.take(most - bool(self._ahead))
        left = most - len(batch)
        if self._clock() < self._live_until:
            left = min(left, _AHEAD_MOST)
        return batch + self._ahead.take(left)

    def remove(self, tenant: str, is_gone: Callable[[Entry], bool]) -> None:
        """Drop a tenant's entries that are gone."""
        self._live.remove(tenant, is_gone)
        self._ahead.remove(tenant, is_gone)
