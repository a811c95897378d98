"""Logs in this process's memory: bounded by number, by age, and all of them together by size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from affectstream_server.bus.entry import START, Bounds, Entry, FallenOut, Placed, Position, Subject

_OVERHEAD_BYTES = 400
"""Of an entry beside its data, about."""


class Log:
    """The retained events of one subject, oldest first. Changed by `Logs` alone."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.entries: list[Placed] = []
        self.floor = START
        """Nothing after it is missing."""
        self.end = START
        self.ended = False
        self.bytes = 0

    @property
    def bounds(self) -> Bounds:
        """What of it is there."""
        return Bounds(self.floor, self.end, self.ended)

    def after(self, position: Position, most: int) -> list[Placed]:
        """The next events after ``position``, at most ``most``. Raises `FallenOut`."""
        if position < self.floor:
            raise FallenOut(self.floor)
        follow = 0
        for at, _ in reversed(self.entries):  # most readers are near the end
            if at <= position:
                break
            follow += 1
        skip = len(self.entries) - follow
        return list(islice(self.entries, skip, skip + most))

    def beyond(self, sequence: int, most: int) -> list[Entry]:
        """Of a session: the next events after ``sequence`` that are there, at most ``most``."""
        follow = 0
        for _, entry in reversed(self.entries):
            if entry.sequence <= sequence:
                break
            follow += 1
        skip = len(self.entries) - follow
        return [entry for _, entry in islice(self.entries, skip, skip + most)]


class Logs:
    """The logs of one kind. Those that nothing was added to for longest give way where room is short."""

    def __init__(self, most: int, age_ms: int, most_bytes: int) -> None:
        self._most = most
        self._age_ms = age_ms
        self._most_bytes = most_bytes
        self._bytes = 0
        self._logs: OrderedDict[Subject, Log] = OrderedDict()
        self.dropped = 0
        """Events that gave way to newer ones, since the start."""

    @property
    def bytes(self) -> int:
        """What they take of memory."""
        return self._bytes

    def __iter__(self) -> Iterator[Log]:
        return iter(tuple(self._logs.values()))

    def get(self, subject: Subject) -> Log | None:
        """The log of a subject; None: nothing is retained."""
        return self._logs.get(subject)

    def append(
        self, subject: Subject, position: Position, entry: Entry, *, floor: Position | None = None
    ) -> Log:
        """Add an event; what it pushes out is gone. ``floor``: of a log that begins with it."""
        log = self._logs.get(subject)
        if log is None:
            log = self._logs[subject] = Log(subject)
            log.floor = floor or (position[0], position[1] - 1)
        self._logs.move_to_end(subject)
        log.entries.append((position, entry))
        log.end = position
        log.ended = entry.is_last and not subject.is_tenant
        self._weigh(log, entry, 1)
        if len(log.entries) > self._most:
            self.dropped += 1
            self._drop_oldest(log)
        while self._bytes > self._most_bytes:
            self.dropped += 1
            self._drop_oldest(next(log for log in self._logs.values() if log.entries))
        return log

    def replace(self, log: Log, entries: list[Placed]) -> None:
        """Other events at the same positions."""
        for _, entry in log.entries:
            self._weigh(log, entry, -1)
        log.entries = list(entries)
        for _, entry in entries:
            self._weigh(log, entry, 1)

    def clear(self, log: Log) -> int:
        """Forget its events; what follows is retained. Returns how many they were."""
        count = len(log.entries)
        while log.entries:
            self._drop_oldest(log)
        log.floor = log.end
        return count

    def remove(self, log: Log) -> int:
        """Forget the log. Returns how many events it had."""
        count = self.clear(log)
        self._logs.pop(log.subject, None)
        return count

    def prune(self, now_ms: int) -> list[Log]:
        """Forget what is too old, and the logs of sessions of which nothing is left and nothing comes.

        Returns the logs of both."""
        changed = []
        for log in self:
            before = len(log.entries)
            while log.entries and log.entries[0][1].sealed_ms < now_ms - self._age_ms:
                self._drop_oldest(log)
            is_over = not log.entries and log.ended
            if is_over:
                del self._logs[log.subject]
            if is_over or len(log.entries) < before:
                changed.append(log)
        return changed

    def _drop_oldest(self, log: Log) -> None:
        log.floor, entry = log.entries.pop(0)
        self._weigh(log, entry, -1)

    def _weigh(self, log: Log, entry: Entry, sign: int) -> None:
        log.bytes += sign * self._size(entry)
        self._bytes += sign * self._size(entry)

    @staticmethod
    def _size(entry: Entry) -> int:
        return len(entry.data) + _OVERHEAD_BYTES
