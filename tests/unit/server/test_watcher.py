"""A watcher alone: what a slow one is spared, when it is cut off, and what it is told of the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from affectstream.contract import Limits
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.bus import cursor
from affectstream_server.bus.entry import Bounds, BusAway, Placed, Position, Subject
from affectstream_server.bus.memory import MemoryBus
from affectstream_server.bus.publication import Publication, entry_of
from affectstream_server.errors import ServiceError
from affectstream_server.settings_bus import BusSettings
from affectstream_server.stages.emit import EventQueue
from affectstream_server.watcher import Watcher

FINAL = pb.AffectEvent(stage=pb.STAGE_FINAL)
SO_FAR = pb.AffectEvent(stage=pb.STAGE_PROVISIONAL)


def spoken(bus: MemoryBus, session_id: str, *events: pb.SessionEvent) -> None:
    """A session that says these and ends."""
    queue = EventQueue(session_id)
    queue.publication = Publication(bus, "acme", session_id)
    for event in events:
        queue.put(event)
    queue.finish(pb.SessionEvent(session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_ABANDONED)))


async def of(bus: MemoryBus, session_id: str, after: Position) -> Watcher:
    subject = await bus.find("acme", session_id)
    assert subject is not None
    return Watcher(bus, subject, after, began=0, since_ms=0, gone_s=1)


def read(data: bytes) -> pb.SessionEvent:
    return pb.WatchAffectResponse.FromString(data).event


async def test_who_is_slow_is_spared_what_may_go_and_keeps_finals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectstream_server.watcher._SLOW_S", 0.02)
    bus = MemoryBus(BusSettings())
    progress = pb.SessionEvent(progress=pb.Progress())
    spoken(bus, "s", pb.SessionEvent(affect=FINAL), progress, pb.SessionEvent(affect=SO_FAR),
           pb.SessionEvent(affect=FINAL), progress)  # fmt: skip
    got: list[pb.SessionEvent] = []

    async def write(data: bytes) -> None:
        got.append(read(data))
        await asyncio.sleep(0.05 if len(got) == 1 else 0)

    await (await of(bus, "s", (1, 0))).write_all(write)
    assert [event.sequence for event in got] == [1, 4, 5, 6], "slow at first, then it is not"


async def test_who_does_not_read_is_cut_off_and_can_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectstream_server.watcher.LIMITS", Limits(slow_reader_ms=20))
    bus = MemoryBus(BusSettings())
    spoken(bus, "s", *(pb.SessionEvent(affect=FINAL) for _ in range(10)))
    got: list[pb.SessionEvent] = []

    async def stuck(data: bytes) -> None:
        if len(got) == 3:
            await asyncio.sleep(10)
        got.append(read(data))

    with pytest.raises(ServiceError) as caught:
        await (await of(bus, "s", (1, 0))).write_all(stuck)
    assert (caught.value.status, caught.value.reason) == ("RESOURCE_EXHAUSTED", "SLOW_READER")
    rest: list[pb.SessionEvent] = []

    async def write(data: bytes) -> None:
        rest.append(read(data))

    await (await of(bus, "s", cursor.session_position(got[-1].cursor)[1])).write_all(write)
    assert [event.sequence for event in got + rest] == list(range(1, 12))


class Shaky:
    """A memory bus that is away while it is told to be."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.away = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)

    def follow(self, subject: Subject) -> Shaky:
        self._follower = self._bus.follow(subject)
        return self

    async def read(self, after: Position, most: int) -> Sequence[Placed]:
        if self.away:
            raise BusAway
        return await self._follower.read(after, most)

    async def wait(self, timeout_s: float) -> None:
        await self._follower.wait(min(timeout_s, 0.02))

    async def bounds(self, subject: Subject) -> Bounds | None:
        if self.away:
            raise BusAway
        return await self._bus.bounds(subject)


@pytest.mark.fault("bus away")
async def test_a_bus_that_goes_away_and_comes_back_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectstream_server.watcher._AWAY_S", 0.01)
    memory = MemoryBus(BusSettings())
    bus = Shaky(memory)
    bus.away = True
    got: list[pb.SessionEvent] = []

    async def write(data: bytes) -> None:
        got.append(read(data))

    watcher = Watcher(bus, Subject("acme"), await tenants_end(memory), began=0, since_ms=0, gone_s=1)  # type: ignore[arg-type]
    watching = asyncio.create_task(watcher.write_all(write))
    await asyncio.sleep(0.1)
    spoken(memory, "s", pb.SessionEvent(affect=FINAL))
    bus.away = False
    async with asyncio.timeout(30):
        while len(got) < 4:
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
    assert [event.warning.code for event in got] == ["BUS_AWAY", "BUS_BACK", "", ""]
    assert [event.sequence for event in got] == [0, 0, 1, 2]
    assert not got[0].cursor


async def tenants_end(bus: MemoryBus) -> Position:
    bounds = await bus.bounds(Subject("acme"))
    assert bounds is not None
    return bounds.end


async def test_a_tenants_watcher_hears_nothing_twice_from_a_bus_that_forgot() -> None:
    bus = MemoryBus(BusSettings())
    subject = Subject("acme", "s", b"i" * 12)
    got: list[int] = []

    async def write(data: bytes) -> None:
        got.append(read(data).sequence)

    def publish(sequence: int, *, again: bool = False, incarnation: bytes = subject.incarnation) -> None:
        event = pb.SessionEvent(session_id="s", epoch=1, sequence=sequence, affect=FINAL)
        event.server_time.FromMilliseconds(1_000)
        response = pb.WatchAffectResponse(event=event).SerializeToString()
        entry = entry_of(event, response, incarnation, last=False)
        bus.publish(subject, replace(entry, again=again, began=5 if again else 0))

    watcher = Watcher(bus, Subject("acme"), await tenants_end(bus), began=0, since_ms=2_000, gone_s=1)
    watching = asyncio.create_task(watcher.write_all(write))
    publish(1)
    publish(2)
    publish(1, again=True)  # heard on this watch
    publish(2, again=True)
    publish(3, again=True)  # was in the log, and this watcher did not get to it
    publish(7, again=True, incarnation=b"j" * 12)  # from before this watch
    publish(8, incarnation=b"j" * 12)
    async with asyncio.timeout(30):
        while len(got) < 4:
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])
    assert got == [1, 2, 3, 8]
