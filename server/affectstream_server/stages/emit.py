"""Emit: the bounded queue of a session's events, their envelope, and what a lost stream did not get."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import LimitReached
from affectstream_server.flag import Flag
from affectstream_server.observer import UNOBSERVED
from affectstream_server.stages.withhold import may_go, withheld, withhold_values


class Publication(Protocol):
    """The way of a session's events to those who watch it."""

    closed: bool

    def cursor(self, epoch: int, sequence: int) -> bytes:
        """Of the event at that place."""
        ...

    def publish(self, event: pb.SessionEvent, response: bytes, *, last: bool) -> None:
        """The event, and it in its response. ``last``: the session says no more."""
        ...

    def withhold(self) -> None:
        """Take the values out of what was published."""
        ...


class Outlet:
    """One stream's way out of a session's events."""

    def __init__(self, first: tuple[bytes, ...] = ()) -> None:
        self._first = list(first)
        self._last: list[bytes] | None = None

    def end(self, *last: bytes) -> None:
        """Nothing of the session goes this way any more, but for these last words."""
        if self._last is None:
            self._last = list(last)

    @property
    def ended(self) -> bool:
        """`end` was called."""
        return self._last is not None

    def withhold(self) -> None:
        """Take the values out of what waits to be sent again."""
        self._first = [withheld(data) for data in self._first]

    def own(self) -> bytes | None:
        """What goes this way alone, next; None: nothing does."""
        ready = self._first if self._last is None else self._last
        return ready.pop(0) if ready else None


class EventQueue:
    """Events of one session, waiting for its one writer. At most `LIMITS.event_queue_bytes` wait.

    Provisional and progress events are dropped first; where finals alone pass the bound, the reader
    is too slow and `put` raises `LimitReached`. What was written last is kept, up to
    `LIMITS.replay_bytes`, where the session can be continued on another stream.
    """

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.epoch = 1
        """Of the stream that events are written to."""
        self.retain = False
        """Keep what was written, for a stream that continues the session."""
        self.publication: Publication | None = None
        """Where events go too when they are serialised; None: nobody can watch."""
        self.observer = UNOBSERVED
        """Is told of each event that goes out."""
        self._events: list[tuple[pb.SessionEvent, int]] = []
        self._bytes = 0
        self._written: list[tuple[int, bytes]] = []
        self._written_bytes = 0
        self._last_word: tuple[int, bytes] | None = None
        """That the session is over: every stream ends with it."""
        self._outlet = Outlet()
        self._ready = Flag()
        self._closed = False
        self.next_sequence = 1
        self.on_relief: Callable[[], None] = lambda: None
        """Called when the queue is no longer crowded."""

    @property
    def outlet(self) -> Outlet:
        """The way that events take now."""
        return self._outlet

    def put(self, event: pb.SessionEvent) -> None:
        """Queue an event without its envelope. Raises `LimitReached` when finals alone fill the queue."""
        size = event.ByteSize()
        if self._bytes + size > LIMITS.event_queue_bytes:
            self._drop_what_may_go()
            if self._bytes + size > LIMITS.event_queue_bytes:
                raise too_slow(
                    f"{self._bytes + size} bytes of events wait", f"{LIMITS.event_queue_bytes} bytes"
                )
        self._events.append((event, size))
        self._bytes += size
        self._ready.set()

    def withhold(self) -> None:
        """Consent was withdrawn: take the values out of what is to be sent, for the first time or again."""
        for event, _ in self._events:
            withhold_values(event)
        self._outlet.withhold()
        kept, self._written, self._written_bytes = self._written, [], 0
        for sequence, data in kept:
            self._remember(sequence, withheld(data))
        if self.publication is not None:
            self.publication.withhold()

    @property
    def is_crowded(self) -> bool:
        """More than half of the bound waits to be written."""
        return self._bytes > LIMITS.event_queue_bytes // 2

    def close(self) -> None:
        """No more events: the writer stops when the queue is empty."""
        self._closed = True
        self._ready.set()

    def finish(self, closed: pb.SessionEvent) -> None:
        """The session is over, and nobody reads: what waits goes to watchers, and ``closed`` is the last word
        where there was none."""
        self.close()
        if self.publication is None or self.publication.closed:
            return
        while self._events:
            self._sealed(self._events.pop(0)[0])
        self._bytes = 0
        if not self.publication.closed:
            self._sealed(closed)

    def leave(self, last: pb.SessionEvent | None = None) -> None:
        """The stream is over, and the session is not. ``last`` is the last thing that it is told."""
        if not self._outlet.ended:
            self._outlet.end(*(() if last is None else (self._sealed(last, goes_on=True),)))
            self._ready.set()

    def move(self, started: pb.SessionEvent, last_sequence: int | None) -> None:
        """Another stream takes the session: ``started`` comes first, then what followed ``last_sequence``,
        and a warning where not all of that is kept any more.

        The last word of a session that is over comes again in any case, and nothing after it.
        """
        self.leave()
        self.epoch += 1
        kept: list[tuple[int, bytes]] = []
        lost = 0
        if last_sequence is not None and last_sequence + 1 < self.next_sequence:
            kept = [entry for entry in self._written if entry[0] > last_sequence]
            lost = self.next_sequence - last_sequence - 1 - len(kept)
        last_word = self._last_word
        if last_word is not None:
            kept = [entry for entry in kept if entry < last_word]
        following = kept[0][0] if kept else None
        if following is None and last_word is not None and not lost:
            following = last_word[0]
        told = [self._sealed(started, following), *(data for _, data in kept)]
        if lost:
            told.append(self._sealed(pb.SessionEvent(warning=events_lost(lost))))
        if last_word is not None:
            told.append(last_word[1])
        self._outlet = Outlet(tuple(told))
        self._ready.set()

    async def write_all(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write serialised responses in order until the stream has had its last. Raises `LimitReached`.

        Cancelled in the middle, what was being written counts as written.
        """
        outlet = self._outlet
        while True:
            while (data := self._next(outlet)) is not None:
                try:
                    async with asyncio.timeout(LIMITS.slow_reader_ms / 1_000):
                        await write(data)
                except TimeoutError:
                    raise too_slow("no room for an event", f"{LIMITS.slow_reader_ms} ms") from None
                self.observer.written()
            if self._closed or outlet.ended:
                return
            self._ready.clear()
            await self._ready.wait()

    def _next(self, outlet: Outlet) -> bytes | None:
        own = outlet.own()
        if own is not None or outlet.ended or not self._events:
            return own
        event, size = self._events.pop(0)
        crowded = self.is_crowded
        self._bytes -= size
        if crowded and not self.is_crowded:
            self.on_relief()
        return self._sealed(event)

    def _sealed(
        self, event: pb.SessionEvent, following: int | None = None, *, goes_on: bool = False
    ) -> bytes:
        """The event in its envelope. ``following``: sequence of the next, where it is no newer one.
        ``goes_on``: a session_closed ends the stream alone."""
        event.session_id = self.session_id
        event.epoch = self.epoch
        event.sequence = self.next_sequence
        self.next_sequence += 1
        if event.WhichOneof("event") == "session_started":
            event.session_started.next_sequence = following or self.next_sequence
        event.server_time.FromNanoseconds(time.time_ns())
        if self.publication is not None:
            event.cursor = self.publication.cursor(event.epoch, event.sequence)
        data = pb.StreamAffectResponse(event=event).SerializeToString()
        if self.retain:
            self._remember(event.sequence, data)
        sealed_at = time.perf_counter()
        last = event.HasField("session_closed") and not goes_on
        if last:
            self._last_word = event.sequence, data
        if self.publication is not None:
            self.publication.publish(event, data, last=last)
        self.observer.sealed(event, time.perf_counter() - sealed_at)
        return data

    def _remember(self, sequence: int, data: bytes) -> None:
        self._written.append((sequence, data))
        self._written_bytes += len(data)
        while self._written_bytes > LIMITS.replay_bytes:
            self._written_bytes -= len(self._written.pop(0)[1])

    def _drop_what_may_go(self) -> None:
        self._events = [(event, size) for event, size in self._events if not may_go(event)]
        self._bytes = sum(size for _, size in self._events)


def events_lost(count: int) -> pb.Warning:
    """So many events were not received and cannot come again."""
    text = f"{count} events before this stream are not kept any more"
    return pb.Warning(code="EVENTS_LOST", message=text, value=str(count))


def too_slow(value: str, limit: str) -> LimitReached:
    """The error of a stream whose events are not read."""
    return LimitReached(
        f"events are not read in time: {value}, limit {limit}",
        reason="SLOW_READER",
        field="responses",
        value=value,
        limit=limit,
    )
