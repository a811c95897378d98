"""One watcher: reads a log at its own pace and writes what it finds, until there is no more to come."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.bus import cursor
from affectstream_server.bus.bus import Bus
from affectstream_server.bus.entry import BusAway, Entry, FallenOut, Placed, Position, Subject
from affectstream_server.errors import ServiceError
from affectstream_server.stages.emit import too_slow
from affectstream_server.watch_errors import fallen_out, no_session

_BATCH: Final = 100
"""Events read at once."""
_LOOK_S: Final = 5.0
"""How often a silent log is looked at."""
_AWAY_S: Final = 0.2
"""How often a bus that is away is."""
_SLOW_S: Final = 1.0
"""A write that takes longer had to wait for the reader."""
_SESSIONS: Final = 4_096
"""Of a tenant, whose last event is remembered."""

Write = Callable[[bytes], Awaitable[None]]


class Watcher:
    """Holds no events: one that is slow falls behind in the log. Made by `Watching.open`."""

    def __init__(
        self, bus: Bus, subject: Subject, position: Position, *, began: int, since_ms: int, gone_s: float
    ) -> None:
        """``began``: of the log as it is now; ``since_ms``: what was said before is no news where that log is
        lost; ``gone_s``: a session is gone when nothing has been known of it for this long."""
        self._bus = bus
        self._subject = subject
        self._position = position
        self._began = began
        self._since_ms = since_ms
        self._gone_s = gone_s
        self._missing_since: float | None = None
        self._follower = bus.follow(subject)
        self._heard: OrderedDict[bytes, int] = OrderedDict()
        self._slow = False
        self._failure: ServiceError | None = None

    @property
    def cursor(self) -> bytes:
        """Where it is."""
        if self._subject.is_tenant:
            return cursor.of_tenant(self._position)
        return cursor.of_session(self._subject.incarnation, self._position)

    def interrupt(self, error: ServiceError) -> None:
        """End the watch with ``error``, after what there is to read now."""
        self._failure = error
        self._follower.wake()

    def close(self) -> None:
        """The call is over."""
        self._follower.close()

    async def write_all(self, write: Write) -> None:
        """Write serialised responses until the session has ended. Raises `ServiceError`."""
        while True:
            placed = await self._read(write)
            for position, entry in placed:
                self._position = position
                if not self._is_news(entry) or (self._slow and entry.may_go):
                    continue
                await self._write(write, self._addressed(position, entry))
                if entry.is_last and not self._subject.is_tenant:
                    return
            if placed:
                continue
            if self._failure is not None:
                raise self._failure
            if await self._is_over():
                return
            await self._follower.wait(_LOOK_S)

    async def _read(self, write: Write) -> Sequence[Placed]:
        """The next events. While the bus is away, say so and wait."""
        told = False
        while True:
            try:
                placed = await self._follower.read(self._position, _BATCH)
            except FallenOut as gone:
                raise fallen_out(self._subject, gone.floor) from None
            except BusAway:
                if self._failure is not None:
                    return ()
                if not told:
                    told = True
                    text = "the bus that retains events cannot be reached; they come when it can"
                    await self._write(write, self._word("BUS_AWAY", text))
                await asyncio.sleep(_AWAY_S)
                continue
            if told:
                await self._write(
                    write, self._word("BUS_BACK", "the bus can be reached again; no event is lost")
                )
            return placed

    async def _is_over(self) -> bool:
        """Nothing is there to be read: whether nothing will come. Raises `NotFound`."""
        if self._subject.is_tenant:
            return False
        try:
            bounds = await self._bus.bounds(self._subject)
        except BusAway:
            return False
        now = time.monotonic()
        if bounds is None:
            self._missing_since = self._missing_since or now
            if now - self._missing_since >= self._gone_s:
                raise no_session(self._subject.session_id)
            return False
        self._missing_since = None
        return bounds.ended and bounds.end <= self._position

    def _is_news(self, entry: Entry) -> bool:
        """A bus that lost its memory gets again what a tenant's watcher has had."""
        if not self._subject.is_tenant:
            return True
        heard = self._heard.get(entry.incarnation)
        written_again = entry.again and entry.began != self._began
        if heard is None and written_again and entry.sealed_ms < self._since_ms:
            return False
        if heard is not None and entry.sequence <= heard:
            return False
        if entry.by_another:  # its process may come back, and say what it said itself
            return True
        self._heard[entry.incarnation] = entry.sequence
        self._heard.move_to_end(entry.incarnation)
        if len(self._heard) > _SESSIONS:
            self._heard.popitem(last=False)
        return True

    def _addressed(self, position: Position, entry: Entry) -> bytes:
        if not self._subject.is_tenant:
            return entry.data
        return cursor.with_cursor(entry.data, cursor.of_tenant(position))

    def _word(self, code: str, message: str) -> bytes:
        """The server's own word to this watcher."""
        event = pb.SessionEvent(
            session_id=self._subject.session_id, warning=pb.Warning(code=code, message=message)
        )
        event.server_time.FromNanoseconds(time.time_ns())
        return pb.WatchAffectResponse(event=event).SerializeToString()

    async def _write(self, write: Write, data: bytes) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMITS.slow_reader_ms / 1_000):
                await write(data)
        except TimeoutError:
            raise too_slow("no room for an event", f"{LIMITS.slow_reader_ms} ms") from None
        self._slow = time.monotonic() - began > _SLOW_S
