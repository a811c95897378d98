"""What sessions and watchers ask of a bus, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from affectstream_server.bus.entry import Bounds, Entry, Placed, Position, Subject


@dataclass(frozen=True, slots=True)
class BusState:
    """A bus in numbers; those of what happened are since the start."""

    published: int
    """Events that sessions added."""
    dropped: int
    """Retained events that gave way to newer ones before their time."""
    behind: int
    """Sessions with events that wait to be published."""
    retained_bytes: int


class Follower(Protocol):
    """One watcher's place at a log. To be closed."""

    def wake(self) -> None:
        """Let `wait` return."""
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be more to read, or after ``timeout_s``."""
        ...

    async def read(self, after: Position, most: int) -> Sequence[Placed]:
        """The next events; none: there is nothing yet.

        Raises `FallenOut` where not all of them are retained, and `BusAway`."""
        ...

    def close(self) -> None:
        """The watcher is gone."""
        ...


class Bus(Protocol):
    """Retains what sessions say, in order, and tells watchers of it. Lives on one event loop.

    A session's events are added by the process whose session it is, and never wait for anything.
    """

    @property
    def state(self) -> BusState:
        """Where it stands."""
        ...

    def start(self) -> None:
        """Begin to work."""
        ...

    async def close(self) -> None:
        """Publish what waits, as far as that is quickly done, and stop."""
        ...

    def publish(self, subject: Subject, entry: Entry) -> None:
        """Add the next event of a session. Returns at once."""
        ...

    def withhold(self, subject: Subject) -> None:
        """Take the values out of what is retained of a session. Returns at once."""
        ...

    async def find(self, tenant: str, session_id: str) -> Subject | None:
        """The newest session of an id of which anything is retained. Raises `BusAway`."""
        ...

    async def bounds(self, subject: Subject) -> Bounds | None:
        """What of a log is there; None: nothing is known of it. Raises `BusAway`."""
        ...

    def follow(self, subject: Subject) -> Follower:
        """A place at a log."""
        ...

    async def purge(self, tenant: str, session_id: str) -> int:
        """Forget every session of an id. Returns how many events they had. Raises `BusAway`."""
        ...
