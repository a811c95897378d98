"""Channels whose blocks wait for the detector: those at real time first, and each tenant in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from affectstream_server.real_time import RealTime
from affectstream_server.round_robin import RoundRobin

Entry = TypeVar("Entry")
_AHEAD_MOST: Final = 8
"""Blocks of streams ahead of real time in a batch, while others are at real time: about a millisecond."""


class Blocks(Generic[Entry]):
    """Two lanes. What comes faster than real time takes what the others leave, and a part of each batch."""

    def __init__(self, real_time: RealTime) -> None:
        self._live: RoundRobin[Entry] = RoundRobin()
        self._ahead: RoundRobin[Entry] = RoundRobin()
        self._real_time = real_time

    def __bool__(self) -> bool:
        return bool(self._live or self._ahead)

    def __len__(self) -> int:
        return len(self._live) + len(self._ahead)

    def add(self, tenant: str, entry: Entry, *, ahead: bool) -> None:
        """Let an entry wait. ``ahead``: its stream is ahead of real time."""
        if ahead:
            self._ahead.add(tenant, entry)
        else:
            self._live.add(tenant, entry)
            self._real_time.seen()

    def take(self, most: int) -> list[Entry]:
        """The next batch, at most so many."""
        batch = self._live.take(most - bool(self._ahead))
        left = most - len(batch)
        if self._real_time.is_live:
            left = min(left, _AHEAD_MOST)
        return batch + self._ahead.take(left)

    def remove(self, tenant: str, is_gone: Callable[[Entry], bool]) -> None:
        """Drop a tenant's entries that are gone."""
        self._live.remove(tenant, is_gone)
        self._ahead.remove(tenant, is_gone)
