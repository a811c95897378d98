"""The bus of one process: what sessions say stays in its memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from affectstream_server.bus.bus import BusState
from affectstream_server.bus.entry import Bounds, Entry, Placed, Position, Subject, now_ms
from affectstream_server.bus.last_word import last_word
from affectstream_server.bus.log import Log, Logs
from affectstream_server.bus.waking import Waking
from affectstream_server.settings_bus import BusSettings
from affectstream_server.stages.withhold import withheld

_PRUNE_S: Final = 1.0
"""How often what is too old is looked for."""


class Woken(Protocol):
    """Who wants to be told that there is more to read."""

    def wake(self) -> None:
        """There is."""
        ...


class MemoryBus:
    """See `affectstream_server.bus.bus.Bus`."""

    def __init__(self, settings: BusSettings) -> None:
        age_ms = round(settings.retention_s * 1_000)
        half = settings.memory_bytes // 2
        self._sessions = Logs(settings.retention_events, age_ms, half)
        self._tenants = Logs(settings.tenant_events, age_ms, half)
        self._followers: defaultdict[Subject, set[Woken]] = defaultdict(set)
        self._began: Position = (now_ms(), 0)
        self._number = 0
        self._pruning: asyncio.Task[None] | None = None

    @property
    def state(self) -> BusState:
        """See `Bus.state`."""
        logs = (self._sessions, self._tenants)
        return BusState(
            published=self._number,
            dropped=sum(one.dropped for one in logs),
            behind=0,
            retained_bytes=sum(one.bytes for one in logs),
        )

    def start(self) -> None:
        """See `Bus.start`."""
        self._pruning = asyncio.get_running_loop().create_task(self._prune())

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)

    def publish(self, subject: Subject, entry: Entry) -> None:
        """See `Bus.publish`."""
        self._sessions.append(subject, entry.position, entry)
        tenant = Subject(subject.tenant)
        self._number += 1
        self._tenants.append(tenant, (now_ms(), self._number), entry, floor=self._began)
        for follower in (*self._followers.get(subject, ()), *self._followers.get(tenant, ())):
            follower.wake()

    def withhold(self, subject: Subject) -> None:
        """See `Bus.withhold`."""
        for logs, of in ((self._sessions, subject), (self._tenants, Subject(subject.tenant))):
            if (log := logs.get(of)) is not None:
                logs.replace(log, [(at, _without_values(entry, subject)) for at, entry in log.entries])

    async def find(self, tenant: str, session_id: str) -> Subject | None:
        """See `Bus.find`."""
        found = [log.subject for log in self._of(tenant, session_id)]
        return max(found, key=lambda subject: subject.incarnation, default=None)

    def abandon(self, subject: Subject) -> None:
        """The process whose session it was is gone: say so to who watches, where the session did not end."""
        log = self._sessions.get(subject)
        if log is not None and not log.ended:
            self.publish(subject, last_word(subject, [entry for _, entry in log.entries], log.end))

    async def bounds(self, subject: Subject) -> Bounds | None:
        """See `Bus.bounds`."""
        log = self._log(subject)
        if log is not None:
            return log.bounds
        return Bounds(self._began, (now_ms(), self._number)) if subject.is_tenant else None

    def follow(self, subject: Subject) -> _Follower:
        """See `Bus.follow`."""
        follower = _Follower(self, subject)
        self.join(subject, follower)
        return follower

    def join(self, subject: Subject, follower: Woken) -> None:
        """Wake a follower when there is more."""
        self._followers[subject].add(follower)

    async def purge(self, tenant: str, session_id: str) -> int:
        """See `Bus.purge`."""
        purged = {log.subject.incarnation for log in self._of(tenant, session_id)}
        count = 0
        for log in self._of(tenant, session_id):
            count += self._sessions.remove(log) if log.ended else self._sessions.clear(log)
        log_of_tenant = self._tenants.get(Subject(tenant))
        if log_of_tenant is not None:
            kept = [placed for placed in log_of_tenant.entries if placed[1].incarnation not in purged]
            self._tenants.replace(log_of_tenant, kept)
        return count

    def read(self, subject: Subject, after: Position, most: int) -> Sequence[Placed]:
        """The next events of a log."""
        log = self._log(subject)
        return log.after(after, most) if log is not None else ()

    def leave(self, subject: Subject, follower: Woken) -> None:
        """A follower is gone."""
        self._followers[subject].discard(follower)
        if not self._followers[subject]:
            del self._followers[subject]

    def _log(self, subject: Subject) -> Log | None:
        return (self._tenants if subject.is_tenant else self._sessions).get(subject)

    def _of(self, tenant: str, session_id: str) -> list[Log]:
        return [
            log
            for log in self._sessions
            if (log.subject.tenant, log.subject.session_id) == (tenant, session_id)
        ]

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_S)
            self._sessions.prune(now_ms())
            self._tenants.prune(now_ms())


class _Follower(Waking):
    """See `affectstream_server.bus.bus.Follower`."""

    def __init__(self, bus: MemoryBus, subject: Subject) -> None:
        super().__init__()
        self._bus = bus
        self._subject = subject

    async def read(self, after: Position, most: int) -> Sequence[Placed]:
        """See `Follower.read`."""
        return self._bus.read(self._subject, after, most)

    def close(self) -> None:
        """See `Follower.close`."""
        self._bus.leave(self._subject, self)


def _without_values(entry: Entry, subject: Subject) -> Entry:
    if not entry.has_values or entry.incarnation != subject.incarnation:
        return entry
    return replace(entry, data=withheld(entry.data), has_values=False)
