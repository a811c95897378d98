"""Brings what this process's sessions say to Redis, in order, and again where Redis has lost it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from affectstream_server.bus.entry import Entry, Subject
from affectstream_server.bus.log import Log, Logs
from affectstream_server.bus.redis_store import AWAY, Answer, Batch, Store
from affectstream_server.stages.withhold import withheld

_log = logging.getLogger(__name__)

_SESSIONS: Final = 32
_EVENTS: Final = 64
_BATCH_BYTES: Final = 1024 * 1024
"""Of what goes to Redis in one round trip: sessions, events of each, bytes of each."""
_CHECKED: Final = 256
"""Sessions that are looked for in one round trip."""
_AWAY_S: Final = (0.05, 1.0)
"""Between attempts: first, longest."""


@dataclass
class _Place:
    """How far a session is."""

    sent: int = 0
    """The newest sequence that Redis has."""
    acked: int = 0
    """The newest sequence that Redis has ever had."""
    values: bool = False
    """The tenant's log may have values that are withheld here."""
    rewrite: bool = False
    """What Redis has of the session is to be written anew."""
    tenant_from: int = 0
    """Events before this sequence do not belong into the tenant's log again."""


class Publisher:
    """``logs``: what this process's sessions said, as far as it is kept. Nothing here delays a session."""

    def __init__(self, store: Store, logs: Logs, owner: str) -> None:
        self._store = store
        self._logs = logs
        self._owner = owner
        self._places: dict[Subject, _Place] = {}
        self._waiting: dict[Subject, None] = {}
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_doubt = True
        self._away = False
        self._task: asyncio.Task[None] | None = None

    @property
    def behind(self) -> int:
        """Sessions with events that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to publish."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, within_s: float) -> bool:
        """Publish what waits, as far as there is time, and stop. Returns whether nothing is left."""
        if self._task is None:
            return True
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return not self._waiting

    def wake(self, subject: Subject) -> None:
        """A session said something."""
        self._waiting[subject] = None
        self._idle.clear()
        self._wanted.set()

    def doubt(self) -> None:
        """Redis may have lost what it had: look."""
        self._in_doubt = True
        self._wanted.set()

    def withhold(self, subject: Subject) -> None:
        """Take the values out of a session's events, here and there."""
        log = self._logs.get(subject)
        if log is None:
            return
        self._logs.replace(log, [(at, _without_values(entry)) for at, entry in log.entries])
        place = self._place(subject)
        place.rewrite = place.values = True
        self.wake(subject)

    def forget(self, subject: Subject) -> None:
        """A session is gone from memory."""
        self._places.pop(subject, None)
        self._waiting.pop(subject, None)

    def _place(self, subject: Subject) -> _Place:
        return self._places.setdefault(subject, _Place())

    async def _run(self) -> None:
        wait_s = _AWAY_S[0]
        while True:
            await self._wanted.wait()
            try:
                if self._in_doubt:
                    await self._look()
                await self._publish_some()
            except AWAY as error:
                if not self._away:
                    _log.warning("the bus is away: %s; events wait for it", type(error).__name__)
                self._away = self._in_doubt = True
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _AWAY_S[1])
                continue
            except Exception:  # noqa: BLE001 - the next event must go out, whatever this one met
                _log.exception("events could not be published")
                await asyncio.sleep(_AWAY_S[1])
                continue
            if self._away:
                _log.warning("the bus is back; events that waited for it go out")
            self._away, wait_s = False, _AWAY_S[0]

    async def _look(self) -> None:
        """See how much of every session Redis has."""
        self._in_doubt = False
        subjects = list(self._places)
        for start in range(0, len(subjects), _CHECKED):
            part = subjects[start : start + _CHECKED]
            for subject, newest in zip(part, await self._store.newest(part), strict=True):
                if subject in self._places:
                    place = self._places[subject]
                    place.sent, place.acked = newest, max(place.acked, newest)
                    self.wake(subject)

    async def _publish_some(self) -> None:
        """One round trip for the sessions that wait longest."""
        turn = list(self._waiting)[:_SESSIONS]
        for subject in turn:
            del self._waiting[subject]
        if not self._waiting:
            self._wanted.clear()
        batches: list[Batch] = []
        try:
            for subject in turn:
                await self._withhold(subject)
            batches += [batch for subject in turn if (batch := self._batch(subject)) is not None]
            answers = await self._store.publish(self._owner, batches) if batches else []
        except BaseException:
            for subject in turn:
                self.wake(subject)
            for batch in batches:
                self._place(batch.subject).rewrite |= batch.anew
            raise
        for batch, answer in zip(batches, answers, strict=True):
            self._take(batch, answer)
        if not self._waiting:
            self._idle.set()

    async def _withhold(self, subject: Subject) -> None:
        place = self._place(subject)
        if place.values:
            await self._store.remove(subject.tenant, {subject.incarnation}, only_values=True)
            place.values = False

    def _batch(self, subject: Subject) -> Batch | None:
        log = self._logs.get(subject)
        place = self._place(subject)
        anew, place.rewrite = place.rewrite, False
        entries = log.beyond(0 if anew else place.sent, _EVENTS) if log is not None else []
        if anew:
            place.tenant_from = place.acked + 1
        if log is None or not entries:
            return None
        size = count = 0
        for entry in entries:
            size += len(entry.data)
            if count and size > _BATCH_BYTES:
                break
            count += 1
        return Batch(
            subject,
            entries[:count],
            from_start=log.entries[0][1].sequence == entries[0].sequence,
            acked=place.acked,
            anew=anew,
            tenant_from=place.tenant_from,
        )

    def _take(self, batch: Batch, answer: Answer) -> None:
        place = self._place(batch.subject)
        if answer.word == "ended":
            place.rewrite = True
        else:
            place.sent = answer.last
            place.acked = max(place.acked, answer.last)
        log = self._logs.get(batch.subject)
        if place.rewrite or (log is not None and _newest(log) > place.sent):
            self.wake(batch.subject)


def _newest(log: Log) -> int:
    return log.entries[-1][1].sequence if log.entries else 0


def _without_values(entry: Entry) -> Entry:
    if not entry.has_values:
        return entry
    return replace(entry, data=withheld(entry.data), has_values=False)
