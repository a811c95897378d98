"""What came back and was not handed out yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import grpc

from affectstream import errors
from affectstream.decode import decode
from affectstream.events import Event
from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import Call

MOST_UNREAD: Final = 4_096
"""Events that may wait for the iteration while controls are waited for."""


class Inbox:
    """Events of one call, read only while somebody waits, so that the server knows a slow reader.

    One read is under way at a time, in a task of its own: whoever waits for it may be cancelled, and the
    event is there for the next.
    """

    def __init__(
        self,
        call: Call,
        why: Callable[[], Awaitable[errors.AffectStreamError]],
        heard: Callable[[Event], None],
    ) -> None:
        """`why` says what ended a call that did not end well; `heard` is told of each event first."""
        self._call = call
        self._why = why
        self._heard = heard
        self._task: asyncio.Task[None] | None = None
        self.events: deque[Event] = deque()
        self.ended = False
        """The call is over; `events` may hold its last ones."""
        self.error: errors.AffectStreamError | None = None
        """Why it is over, where that is an error."""

    async def more(self) -> None:
        """Wait until another message was read, or the call has ended.

        Raises:
            ResourceExhausted: as many events wait as may.
        """
        if self.ended:
            return
        if len(self.events) >= MOST_UNREAD:
            raise events_unread()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._read())
        await asyncio.wait({self._task})

    def take(self) -> Event:
        """The next event. Raises `IndexError` where none waits."""
        return self.events.popleft()

    async def close(self) -> None:
        """Forget what was not handed out. The call must have been cancelled or have ended."""
        self.ended = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.events.clear()

    async def _read(self) -> None:
        try:
            message = await self._call.read()
        except asyncio.CancelledError:
            self._end(errors.Cancelled("the call was cancelled by another task, or its client was closed"))
            raise
        except grpc.aio.AioRpcError:
            self._end(await self._why())
            return
        if message is grpc.aio.EOF:
            well = await self._call.code() == grpc.StatusCode.OK
            self._end(None if well else await self._why())
            return
        try:
            self._take(message)
        except Exception as fault:  # noqa: BLE001 - whoever waits must hear of it
            error = errors.ProtocolError(f"an event cannot be read: {type(fault).__name__}")
            error.__cause__ = fault
            self._call.cancel()
            self._end(error)

    def _take(self, message: object) -> None:
        if not isinstance(message, pb.StreamAffectResponse):
            raise TypeError(message)  # gRPC gives None for bytes that are no message
        event = decode(message.event)
        if event is not None:
            self._heard(event)
            self.events.append(event)

    def _end(self, error: errors.AffectStreamError | None) -> None:
        self.ended, self.error = True, error


def events_unread() -> errors.ResourceExhausted:
    """The error of a wait for controls that nobody reads beside."""
    return errors.ResourceExhausted(
        f"{MOST_UNREAD} events wait to be read: iterate the stream while controls are waited for",
        reason="EVENTS_UNREAD",
        field="events",
        value=str(MOST_UNREAD),
        limit=str(MOST_UNREAD),
    )
