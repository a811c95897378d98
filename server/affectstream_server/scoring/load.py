"""Scores that are asked for and not over, and whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Ticket:
    """One score's place among all others. It waits in at most one queue at a time."""

    tenant: str = ""
    stream: Hashable = None
    weight: float = 1.0
    """The tenant's share, relative to the others'."""
    urgent: bool = True
    """A final waits for it; else it may be dropped."""
    hastened: Callable[[Ticket], None] | None = None
    """Set by the queue in which it waits."""
    _over: Callable[[], None] | None = None
    _held: int = 1

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def hasten(self) -> None:
        """A final waits for it now."""
        if not self.urgent:
            self.urgent = True
            if self.hastened is not None:
                self.hastened(self)

    def hold(self) -> None:
        """Work goes on that does not end with who asked for it; it ends with a `leave` of its own."""
        self._held += 1

    def leave(self) -> None:
        """Whoever asked, or held it, is done."""
        self._held -= 1
        if not self._held and self._over is not None:
            self._over()


@dataclass(slots=True)
class Load:
    """Scores begun and not over, over all streams. Work that may be dropped waits for room."""

    optional_below: int
    """Scores in flight from which no provisional or speculative one is begun."""
    in_flight: int = 0
    _of_tenants: Counter[str] = field(default_factory=Counter)

    def has_room(self, tenant: str) -> bool:
        """Room for optional work: there is some, or others hold what would be the tenant's part of it."""
        if self.in_flight < self.optional_below:
            return True
        tenants = len(self._of_tenants) + (tenant not in self._of_tenants)
        part = min(self.optional_below, max(1, self.optional_below // tenants))
        return self._of_tenants.get(tenant, 0) < part

    def share(self, tenant: str = "", stream: Hashable = None, weight: float = 1.0) -> Share:
        """What a stream asks through."""
        return Share(self, tenant, stream, weight)

    def begin(self, tenant: str, stream: Hashable, weight: float, *, urgent: bool) -> Ticket:
        """Count a score, until its ticket is left."""
        self.in_flight += 1
        self._of_tenants[tenant] += 1

        def over() -> None:
            self.in_flight -= 1
            self._of_tenants[tenant] -= 1
            if not self._of_tenants[tenant]:
                del self._of_tenants[tenant]

        return Ticket(tenant, stream, weight, urgent, _over=over)


@dataclass(frozen=True, slots=True)
class Share:
    """A stream's part in the scorers' work."""

    load: Load
    tenant: str
    stream: Hashable
    weight: float

    @property
    def has_room(self) -> bool:
        """Optional work may be begun."""
        return self.load.has_room(self.tenant)

    def ticket(self, *, urgent: bool) -> Ticket:
        """Begin a score. Its ticket must be left."""
        return self.load.begin(self.tenant, self.stream, self.weight, urgent=urgent)
