"""The bus of many processes: Redis Streams.

A session's events are written by the process whose session it is, under ids that it gives
(`epoch-sequence`), so that writing them again changes nothing; each also goes into its tenant's log. The
process keeps what its own sessions said: it may have to wait while Redis is away, or to be told again.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from affectstream_server.bus.bus import BusState
from affectstream_server.bus.entry import Bounds, BusAway, Entry, Subject
from affectstream_server.bus.log import Logs
from affectstream_server.bus.redis_keeper import Keeper
from affectstream_server.bus.redis_publisher import Publisher
from affectstream_server.bus.redis_store import AWAY, Store
from affectstream_server.bus.redis_tail import Follower, Tail
from affectstream_server.bus.redis_wakes import Wakes
from affectstream_server.settings_bus import BusSettings

_CLOSING_S: Final = 3.0
"""For the last words of the last sessions."""
_YOUNG_S: Final = (0.02, 0.08, 0.2)
"""Between looks for a session: who streams may know of it just before Redis does."""


class RedisBus:
    """See `affectstream_server.bus.bus.Bus`."""

    def __init__(self, settings: BusSettings) -> None:
        owner = secrets.token_hex(8)
        age_ms = round(settings.retention_s * 1_000)
        self._logs = Logs(settings.retention_events, age_ms, settings.memory_bytes)
        self._store = Store(settings)
        self._publisher = Publisher(self._store, self._logs, owner)
        self._keeper = Keeper(self._store, self._logs, self._publisher, owner=owner, owner_s=settings.owner_s)
        self._wakes = Wakes(self._store)
        self._tails: dict[Subject, Tail] = {}
        self._published = 0

    @property
    def state(self) -> BusState:
        """See `Bus.state`."""
        return BusState(self._published, self._logs.dropped, self._publisher.behind, self._logs.bytes)

    def start(self) -> None:
        """See `Bus.start`."""
        self._publisher.start()
        self._keeper.start()
        self._wakes.start(self._store.keys.purges, self._purged)

    async def close(self) -> None:
        """See `Bus.close`."""
        clean = await self._publisher.close(_CLOSING_S)
        await self._wakes.close()
        await self._keeper.close(clean=clean)
        await self._store.close()

    def publish(self, subject: Subject, entry: Entry) -> None:
        """See `Bus.publish`."""
        self._published += 1
        self._logs.append(subject, entry.position, entry)
        self._publisher.wake(subject)

    def withhold(self, subject: Subject) -> None:
        """See `Bus.withhold`."""
        self._publisher.withhold(subject)

    async def find(self, tenant: str, session_id: str) -> Subject | None:
        """See `Bus.find`."""
        for wait_s in (*_YOUNG_S, 0.0):
            try:
                found = await self._store.incarnations(tenant, session_id)
            except AWAY:
                raise BusAway from None
            if found:
                return found[-1]
            await asyncio.sleep(wait_s)
        return None

    async def bounds(self, subject: Subject) -> Bounds | None:
        """See `Bus.bounds`."""
        try:
            return await self._store.bounds(subject)
        except AWAY:
            raise BusAway from None

    def follow(self, subject: Subject) -> Follower:
        """See `Bus.follow`."""
        tail = self._tails.get(subject)
        if tail is None:
            tail = self._tails[subject] = Tail(self._store, subject)
            self._wakes.add(self._store.keys.log(subject), tail.wake)

        def leave(follower: Follower) -> None:
            tail.followers.discard(follower)
            if not tail.followers and self._tails.get(subject) is tail:
                del self._tails[subject]
                self._wakes.remove(self._store.keys.log(subject))
                tail.close()

        follower = Follower(tail, leave)
        tail.followers.add(follower)
        return follower

    async def purge(self, tenant: str, session_id: str) -> int:
        """See `Bus.purge`."""
        count = 0
        try:
            subjects = await self._store.incarnations(tenant, session_id)
            await self._store.redis.publish(self._store.keys.purges, f"{tenant}:{session_id}")
            for subject in subjects:
                bounds = await self._store.bounds(subject)
                count += await self._store.empty(subject, ended=bounds is None or bounds.ended)
            gone = {subject.incarnation for subject in subjects}
            await self._store.remove(tenant, gone, only_values=False)
        except AWAY:
            raise BusAway from None
        return count

    def _purged(self, message: bytes | None) -> None:
        """Some process was asked to forget a session."""
        if message is None:
            return
        tenant, _, session_id = message.decode().partition(":")
        for log in self._logs:
            if (log.subject.tenant, log.subject.session_id) == (tenant, session_id):
                self._logs.clear(log)
