"""A process's way to the hub, as its bus."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Final

from affectstream_server.bus.bus import BusState
from affectstream_server.bus.entry import Bounds, BusAway, Entry, FallenOut, Placed, Position, Subject
from affectstream_server.bus.waking import Waking
from affectstream_server.processes.entries import head_of, position_of, subject_fields, unpack
from affectstream_server.processes.link import Fields, Link, LinkLost

_YOUNG_S: Final = (0.02, 0.08)
"""Between looks for a session: who streams may know of it just before the hub does."""


class HubBus:
    """See `affectstream_server.bus.bus.Bus`."""

    def __init__(self, link: Link, timeout_s: float) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._published = 0
        self._numbers = itertools.count(1)
        self._followers: dict[int, _Follower] = {}

    @property
    def state(self) -> BusState:
        """See `Bus.state`; what is retained is the hub's to tell."""
        return BusState(self._published, dropped=0, behind=0, retained_bytes=0)

    def start(self) -> None:
        """See `Bus.start`."""

    async def close(self) -> None:
        """See `Bus.close`."""

    def publish(self, subject: Subject, entry: Entry) -> None:
        """See `Bus.publish`."""
        self._published += 1
        of, head = subject_fields(subject), head_of(entry)
        self._link.tell("bus_publish", entry.data, in_time=not entry.may_go, of=of, head=head)

    def withhold(self, subject: Subject) -> None:
        """See `Bus.withhold`."""
        self._link.tell("bus_withhold", of=subject_fields(subject))

    async def find(self, tenant: str, session_id: str) -> Subject | None:
        """See `Bus.find`."""
        for wait_s in (*_YOUNG_S, 0.0):
            fields, _ = await self._ask("bus_find", name=(tenant, session_id))
            if (found := fields["incarnation"]) is not None:
                return Subject(tenant, session_id, bytes.fromhex(found))
            await asyncio.sleep(wait_s)
        return None

    async def bounds(self, subject: Subject) -> Bounds | None:
        """See `Bus.bounds`."""
        fields, _ = await self._ask("bus_bounds", of=subject_fields(subject))
        if fields["bounds"] is None:
            return None
        floor, end, ended, began = fields["bounds"]
        return Bounds(position_of(floor), position_of(end), ended, began)

    def follow(self, subject: Subject) -> _Follower:
        """See `Bus.follow`."""
        number = next(self._numbers)
        follower = self._followers[number] = _Follower(self, number, subject)
        self._link.tell("bus_follow", number=number, of=subject_fields(subject))
        return follower

    async def purge(self, tenant: str, session_id: str) -> int:
        """See `Bus.purge`."""
        fields, _ = await self._ask("bus_purge", name=(tenant, session_id))
        return int(fields["events"])

    async def read(self, subject: Subject, after: Position, most: int) -> Sequence[Placed]:
        """See `Follower.read`."""
        fields, blob = await self._ask("bus_read", of=subject_fields(subject), after=after, most=most)
        if "floor" in fields:
            raise FallenOut(position_of(fields["floor"]))
        return unpack(fields, blob)

    def woken(self, number: int) -> None:
        """The hub says that there is more for a follower."""
        follower = self._followers.get(number)
        if follower is not None:
            follower.wake()

    def leave(self, number: int) -> None:
        """A follower is gone."""
        del self._followers[number]
        self._link.tell("bus_leave", number=number)

    async def _ask(self, kind: str, **fields: Any) -> tuple[Fields, bytes]:
        try:
            return await self._link.ask(kind, within_s=self._timeout_s, **fields)
        except LinkLost:
            raise BusAway from None


class _Follower(Waking):
    """See `affectstream_server.bus.bus.Follower`."""

    def __init__(self, bus: HubBus, number: int, subject: Subject) -> None:
        super().__init__()
        self._bus = bus
        self._number = number
        self._subject = subject

    async def read(self, after: Position, most: int) -> Sequence[Placed]:
        """See `Follower.read`."""
        return await self._bus.read(self._subject, after, most)

    def close(self) -> None:
        """See `Follower.close`."""
        self._bus.leave(self._number)
