"""One event as it is retained, and where it stands."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

INCARNATION_BYTES: Final = 12

Position = tuple[int, int]
"""Of an event in a log: ``(epoch, sequence)`` in a session's, ``(ms, number)`` of the clock in a tenant's."""

START: Final[Position] = (0, 0)
"""Before every event."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose events: those of one session, or of every session of a tenant."""

    tenant: str
    session_id: str = ""
    """Empty: every session of the tenant."""
    incarnation: bytes = b""
    """Which of the sessions that had this id."""

    @property
    def is_tenant(self) -> bool:
        """Every session of the tenant."""
        return not self.session_id


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a session, serialised as watchers get it."""

    incarnation: bytes
    epoch: int
    sequence: int
    sealed_ms: int
    """The clock of the process whose session it is, when the event was serialised."""
    data: bytes
    """A WatchAffectResponse, its cursor that of the session."""
    may_go: bool = False
    """A slow watcher is spared it."""
    has_values: bool = False
    """It says how somebody spoke."""
    is_last: bool = False
    """The session says no more."""
    again: bool = False
    """It was in the tenant's log before, and the bus lost it."""
    by_another: bool = False
    """It was said for a process that is gone."""
    began: int = 0
    """Of the tenant's log that it was read from: see `Bounds`."""

    @property
    def position(self) -> Position:
        """In the session's log."""
        return self.epoch, self.sequence


Placed = tuple[Position, Entry]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What of a log is there: everything after ``floor``, up to ``end``."""

    floor: Position
    end: Position
    ended: bool = False
    """Nothing follows ``end``."""
    began: int = 0
    """The clock in ms when a tenant's log began; another where it was lost in between."""


class FallenOut(Exception):
    """What followed a position is not retained any more; everything after ``floor`` is."""

    def __init__(self, floor: Position) -> None:
        super().__init__()
        self.floor = floor


class BusAway(Exception):
    """The bus cannot be reached just now."""


def new_incarnation() -> bytes:
    """Of a session that begins now; those of one id sort by when they began."""
    return now_ms().to_bytes(6) + secrets.token_bytes(INCARNATION_BYTES - 6)


def now_ms() -> int:
    """The wall clock in milliseconds."""
    return time.time_ns() // 1_000_000
