"""The bus of several processes without Redis: what their sessions say stays in the supervisor's memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from affectstream_server.bus.bus import BusState
from affectstream_server.bus.entry import Bounds, FallenOut, Subject
from affectstream_server.bus.memory import MemoryBus
from affectstream_server.processes.entries import entry_of, pack, position_of, subject_of
from affectstream_server.processes.link import Answer, Fields, Link, Message
from affectstream_server.settings_bus import BusSettings

_QUESTIONS: Final = frozenset({"bus_find", "bus_bounds", "bus_purge", "bus_read"})
KINDS: Final = _QUESTIONS | {"bus_publish", "bus_withhold", "bus_follow", "bus_leave"}
"""Messages that are the hub's."""


@dataclass(frozen=True, slots=True, eq=False)
class _Far:
    """A follower in another process."""

    link: Link
    number: int
    subject: Subject

    def wake(self) -> None:
        """See `Woken`."""
        self.link.tell("bus_wake", number=self.number)


class Hub:
    """Holds the events, and knows which process has which session and which follower."""

    def __init__(self, settings: BusSettings) -> None:
        self._bus = MemoryBus(settings)
        self._open: defaultdict[int, set[Subject]] = defaultdict(set)
        self._followers: defaultdict[int, dict[int, _Far]] = defaultdict(dict)

    @property
    def state(self) -> BusState:
        """Where the bus stands."""
        return self._bus.state

    def start(self) -> None:
        """Begin to forget what is too old."""
        self._bus.start()

    async def close(self) -> None:
        """Stop."""
        await self._bus.close()

    def gone(self, process: int) -> None:
        """A process ended: its followers with it, and its sessions are told to have ended."""
        for follower in self._followers.pop(process, {}).values():
            self._bus.leave(follower.subject, follower)
        for subject in self._open.pop(process, ()):
            self._bus.abandon(subject)

    def take(self, process: int, link: Link, message: Message) -> Answer | Awaitable[Answer]:
        """Handle what a process says, in order; a question is answered."""
        if message.kind in _QUESTIONS:
            return self._answer(message.kind, message.fields)
        self._note(process, link, message)
        return None

    async def _answer(self, kind: str, fields: Fields) -> Answer:
        match kind:
            case "bus_find":
                found = await self._bus.find(*fields["name"])
                return {"incarnation": found.incarnation.hex() if found is not None else None}
            case "bus_bounds":
                return _bounds_fields(await self._bus.bounds(subject_of(fields["of"])))
            case "bus_purge":
                return {"events": await self._bus.purge(*fields["name"])}
            case "bus_read":
                return self._read(fields)
        return None

    def _note(self, process: int, link: Link, message: Message) -> None:
        fields = message.fields
        match message.kind:
            case "bus_publish":
                subject = subject_of(fields["of"])
                entry = entry_of(fields["head"], message.blob)
                self._bus.publish(subject, entry)
                if entry.is_last:
                    self._open[process].discard(subject)
                else:
                    self._open[process].add(subject)
            case "bus_withhold":
                self._bus.withhold(subject_of(fields["of"]))
            case "bus_follow":
                far = _Far(link, fields["number"], subject_of(fields["of"]))
                self._followers[process][far.number] = far
                self._bus.join(far.subject, far)
            case "bus_leave":
                follower = self._followers[process].pop(fields["number"], None)
                if follower is not None:
                    self._bus.leave(follower.subject, follower)

    def _read(self, fields: Fields) -> Answer:
        try:
            return pack(
                self._bus.read(subject_of(fields["of"]), position_of(fields["after"]), fields["most"])
            )
        except FallenOut as gone:
            return {"floor": gone.floor}


def _bounds_fields(bounds: Bounds | None) -> Fields:
    if bounds is None:
        return {"bounds": None}
    return {"bounds": [bounds.floor, bounds.end, bounds.ended, bounds.began]}
