"""Emit: the bounded queue of a stream's events, and their envelope."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import LimitReached
from affectstream_server.stages.decide import withhold


class EventQueue:
    """Events of one stream, waiting for its one writer. At most `LIMITS.event_queue_bytes` wait.

    Provisional and progress events are dropped first; where finals alone pass the bound, the reader
    is too slow and `put` raises `LimitReached`.
    """

    def __init__(self, session_id: str, epoch: int) -> None:
        self.session_id = session_id
        self._epoch = epoch
        self._events: deque[tuple[pb.SessionEvent, int]] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._closed = False
        self.next_sequence = 1
        self.on_relief: Callable[[], None] = lambda: None
        """Called when the queue is no longer crowded."""

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
        """Consent was withdrawn: take the values out of what is not sent yet."""
        for event, _ in self._events:
            if event.HasField("affect"):
                withhold(event.affect)
            elif event.HasField("turn_affect"):
                for name in ("emotions", "top_label", "dimensions", "uncertainty", "guidance"):
                    event.turn_affect.ClearField(name)
                event.turn_affect.status = pb.AFFECT_STATUS_CONSENT_WITHHELD

    @property
    def is_crowded(self) -> bool:
        """More than half of the bound waits to be written."""
        return self._bytes > LIMITS.event_queue_bytes // 2

    def close(self) -> None:
        """No more events: the writer stops when the queue is empty."""
        self._closed = True
        self._ready.set()

    async def write_all(self, write: Callable[[pb.StreamAffectResponse], Awaitable[None]]) -> None:
        """Write events in order until the queue is closed and empty. Raises `LimitReached`."""
        while True:
            while self._events:
                event, size = self._events.popleft()
                crowded = self.is_crowded
                self._bytes -= size
                if crowded and not self.is_crowded:
                    self.on_relief()
                self._seal(event)
                try:
                    async with asyncio.timeout(LIMITS.slow_reader_ms / 1_000):
                        await write(pb.StreamAffectResponse(event=event))
                except TimeoutError:
                    raise too_slow("no room for an event", f"{LIMITS.slow_reader_ms} ms") from None
            if self._closed:
                return
            self._ready.clear()
            await self._ready.wait()

    def _seal(self, event: pb.SessionEvent) -> None:
        event.session_id = self.session_id
        event.epoch = self._epoch
        event.sequence = self.next_sequence
        self.next_sequence += 1
        if event.WhichOneof("event") == "session_started":
            event.session_started.next_sequence = self.next_sequence
        event.server_time.FromNanoseconds(time.time_ns())

    def _drop_what_may_go(self) -> None:
        kept = [(event, size) for event, size in self._events if not _may_go(event)]
        self._events = deque(kept)
        self._bytes = sum(size for _, size in kept)


def _may_go(event: pb.SessionEvent) -> bool:
    kind = event.WhichOneof("event")
    return kind == "progress" or (kind == "affect" and event.affect.stage == pb.STAGE_PROVISIONAL)


def too_slow(value: str, limit: str) -> LimitReached:
    """The error of a stream whose events are not read."""
    return LimitReached(
        f"events are not read in time: {value}, limit {limit}",
        reason="SLOW_READER",
        field="responses",
        value=value,
        limit=limit,
    )
