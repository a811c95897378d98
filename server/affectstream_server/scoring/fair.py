"""Whose score comes next where several wait: start-time fair queueing, by tenant and then by stream.

Each that waits has a tag: the work that it was given so far. The least tag is next, and one that comes
anew begins where the queue is, so that it owes nothing and has saved nothing up. Within a tenant, scores
that a final waits for go before those that may be dropped.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import ScorerOverloaded

Item = TypeVar("Item")
_SLACK: Final = 32


class FairQueue(Generic[Item]):
    """At most ``limit`` items wait. Safe to use from several threads.

    Where it is full, a tenant that holds more than its share makes place for one that holds less. A step
    costs O(log n), and where it is full a look at each tenant.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._count = 0
        self._tenants: dict[str, _Tenant[Item]] = {}
        self._turns = _Turns(self._tenants)

    def __len__(self) -> int:
        return self._count

    def push(self, ticket: Ticket, cost: float, item: Item) -> Item | None:
        """Let an item wait; ``cost`` is its work, in any unit. Returns one that must go for it.

        Raises `ScorerOverloaded` where none must.
        """
        with self._lock:
            displaced = self._make_place(ticket) if self._count >= self._limit else None
            if ticket.tenant not in self._tenants:
                self._tenants[ticket.tenant] = _Tenant()
                self._turns.join(ticket.tenant)
            tenant = self._tenants[ticket.tenant]
            tenant.weight = ticket.weight
            tenant.lane(ticket).push(ticket, cost, item)
            ticket.hastened = self._hasten
            self._count += 1
            return displaced

    def pop(self) -> Item | None:
        """The item whose turn it is; None where none waits."""
        with self._lock:
            if not self._count:
                return None
            name = self._turns.first()
            tenant = self._tenants[name]
            ticket, cost, item = (tenant.urgent if len(tenant.urgent) else tenant.optional).pop()
            self._turns.charge(name, cost / tenant.weight)
            self._left(ticket)
            return item

    def discard(self, ticket: Ticket) -> None:
        """Whoever waited gave up. Nothing happens if the ticket is not here, or not any more."""
        with self._lock:
            self._remove(ticket)

    def clear(self) -> list[Item]:
        """Take everything out."""
        items = []
        while (item := self.pop()) is not None:
            items.append(item)
        return items

    def _hasten(self, ticket: Ticket) -> None:
        with self._lock:
            tenant = self._tenants.get(ticket.tenant)
            found = tenant.optional.remove(ticket) if tenant is not None else None
            if tenant is not None and found is not None:
                tenant.urgent.push(ticket, *found)

    def _make_place(self, ticket: Ticket) -> Item:
        """Remove the least of a tenant's own, or of the one that holds most for its weight."""
        own = self._tenants.get(ticket.tenant)
        if own is not None and ticket.urgent and len(own.optional):
            return self._displace(own.optional.newest())
        held = (len(own) + 1 if own is not None else 1) / ticket.weight
        heaviest = max(self._tenants.values(), key=lambda tenant: len(tenant) / tenant.weight)
        if not ticket.urgent or len(heaviest) / heaviest.weight <= held:
            raise ScorerOverloaded(f"{self._count} utterances are waiting, at most {self._limit} may")
        lane = heaviest.optional if len(heaviest.optional) else heaviest.urgent
        return self._displace(lane.newest())

    def _displace(self, ticket: Ticket) -> Item:
        item = self._remove(ticket)
        assert item is not None  # noqa: S101 - the lane has just named it
        return item

    def _remove(self, ticket: Ticket) -> Item | None:
        tenant = self._tenants.get(ticket.tenant)
        if tenant is None:
            return None
        found = tenant.urgent.remove(ticket) or tenant.optional.remove(ticket)
        if found is None:
            return None
        self._left(ticket)
        return found[1]

    def _left(self, ticket: Ticket) -> None:
        ticket.hastened = None
        self._count -= 1
        if not len(self._tenants[ticket.tenant]):
            del self._tenants[ticket.tenant]
        if not self._count:  # nobody is waited for: what each was given does not count any more
            self._turns = _Turns(self._tenants)


class _Tenant(Generic[Item]):
    """What of one tenant waits."""

    def __init__(self) -> None:
        self.weight = 1.0
        self.urgent: _Lane[Item] = _Lane()
        self.optional: _Lane[Item] = _Lane()

    def __len__(self) -> int:
        return len(self.urgent) + len(self.optional)

    def lane(self, ticket: Ticket) -> _Lane[Item]:
        return self.urgent if ticket.urgent else self.optional


class _Lane(Generic[Item]):
    """Streams of one tenant; each stream's items go in their order."""

    def __init__(self) -> None:
        self._streams: dict[Hashable, OrderedDict[Ticket, tuple[float, Item]]] = {}
        self._turns = _Turns(self._streams)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, ticket: Ticket, cost: float, item: Item) -> None:
        if ticket.stream not in self._streams:
            self._streams[ticket.stream] = OrderedDict()
            self._turns.join(ticket.stream)
        self._streams[ticket.stream][ticket] = (cost, item)
        self._count += 1

    def pop(self) -> tuple[Ticket, float, Item]:
        stream = self._turns.first()
        ticket, (cost, item) = self._streams[stream].popitem(last=False)
        self._turns.charge(stream, cost)
        self._left(ticket)
        return ticket, cost, item

    def newest(self) -> Ticket:
        """The last of the stream that began to wait last."""
        return next(reversed(self._streams[next(reversed(self._streams))]))

    def remove(self, ticket: Ticket) -> tuple[float, Item] | None:
        """Take an item out, with its cost; None if it is not here."""
        waiting = self._streams.get(ticket.stream)
        found = waiting.pop(ticket, None) if waiting is not None else None
        if found is not None:
            self._left(ticket)
        return found

    def _left(self, ticket: Ticket) -> None:
        self._count -= 1
        if not self._streams[ticket.stream]:
            del self._streams[ticket.stream]
        if not self._count:
            self._turns = _Turns(self._streams)


class _Turns:
    """The tags of those in ``waiting``, and of others as long as theirs lie ahead."""

    def __init__(self, waiting: Mapping[Any, object]) -> None:
        self._waiting = waiting
        self._now = 0.0
        self._tags: dict[Any, float] = {}
        self._heap: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        self._sweep_at = _SLACK

    def join(self, key: Hashable) -> None:
        """``key`` began to wait."""
        if key in self._tags:
            return
        if len(self._heap) >= self._sweep_at:  # those that gave up before their turn came
            self._heap = [one for one in self._heap if one[2] in self._waiting or one[0] > self._now]
            heapq.heapify(self._heap)
            self._tags = {one[2]: one[0] for one in self._heap}
            self._sweep_at = 2 * len(self._heap) + _SLACK
        self._put(key, self._now)

    def first(self) -> Any:
        """Whose turn it is. Somebody must wait."""
        while self._heap[0][2] not in self._waiting:
            del self._tags[heapq.heappop(self._heap)[2]]
        self._now = self._heap[0][0]
        return self._heap[0][2]

    def charge(self, key: Hashable, cost: float) -> None:
        """``key``, which was `first`, was given work."""
        heapq.heappop(self._heap)
        self._put(key, self._now + cost)

    def _put(self, key: Hashable, tag: float) -> None:
        self._tags[key] = tag
        heapq.heappush(self._heap, (tag, next(self._order), key))
