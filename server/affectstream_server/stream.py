"""One call: the order of its messages, the session that it holds, and why it ends."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import Identity
from affectstream_server.errors import ServiceError
from affectstream_server.flag import Flag
from affectstream_server.session import Session
from affectstream_server.stages.receive import Order


class Beginning(Protocol):
    """What a stream asks of the sessions."""

    def begin(self, config: pb.SessionConfig, stream: Stream) -> Session:
        """Start or continue a session. Raises `ServiceError`."""
        ...


class Stream:
    """Knows no gRPC: its edge feeds `receive`, awaits `room` between messages, and runs `write_all`."""

    def __init__(self, sessions: Beginning, identity: Identity) -> None:
        self._sessions = sessions
        self._order = Order()
        self._begun = Flag()
        self._interrupt: Callable[[], None] | None = None
        self.identity = identity
        """Whose call it is."""
        self.session: Session | None = None
        self.failure: ServiceError | None = None
        """Why the stream ends early, where it does."""
        self.failed = Flag()
        """Set with `failure`."""
        self.waiting_since: float | None = None
        """When the edge began to wait for the next message; None while it does not."""
        self.opened_at = time.monotonic()

    @property
    def finished(self) -> bool:
        """All audio was sent: a half-close is no abandoned call."""
        return self._order.ended or (self.session is not None and self.session.hearing.ended)

    @property
    def holds_session(self) -> bool:
        """Its session is still its own."""
        return self.session is not None and self.session.stream is self

    def on_interrupt(self, interrupt: Callable[[], None]) -> None:
        """``interrupt`` makes the edge stop waiting for messages."""
        self._interrupt = interrupt

    def receive(self, request: pb.StreamAffectRequest) -> None:
        """Take the next message. Raises `ServiceError`; the stream cannot go on then."""
        kind = request.WhichOneof("request")
        if kind != "audio" or not self._order.takes_audio:
            self._order = self._order.advance(request)
        session = self.session
        if kind == "config":
            self.session = self._sessions.begin(request.config, self)
            self._begun.set()
        elif session is not None and session.stream is self:
            if kind == "audio":
                session.listening.hearing.take(request.audio)
            elif self._order.ended:
                session.end_audio(request.control)
            else:
                session.control(request.control)

    def has_room(self) -> bool:
        """More audio may be taken at once; where not, `room` waits for it."""
        return self.session is None or self.session.listening.has_room()

    async def room(self) -> None:
        """Wait until more audio may be taken, after `has_room` said no: this makes a fast sender wait."""
        if self.session is not None:
            await self.session.listening.room()

    async def write_all(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write the session's events until this stream has had its last. Raises `LimitReached`."""
        await self._begun.wait()
        if self.session is not None:
            await self.session.events.write_all(write)

    def fail(self, error: ServiceError) -> None:
        """What ends the stream ends its session too, unless another stream has it by now."""
        if self.session is not None and self.holds_session:
            self.session.interrupt(error)
        self.interrupt(error)

    def interrupt(self, error: ServiceError) -> None:
        """End the stream early with ``error``, once."""
        if self.failure is None:
            self.failure = error
            self.failed.set()
            self._begun.set()
            self.stop_reading()

    def stop_reading(self) -> None:
        """No more messages are wanted."""
        if self._interrupt is not None:
            self._interrupt()

    async def settle(self) -> None:
        """Before an early end: deliver what was declared, then say why. Bounded by the deadlines."""
        if self.session is not None and self.holds_session and self.session.failure is not None:
            await self.session.settle_and_close()
