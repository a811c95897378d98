"""Events of a stream that outlives its calls, until the caller reads them."""

from __future__ import annotations

import asyncio
from collections import deque

from affectstream import errors
from affectstream.events import Event
from affectstream.inbox import MOST_UNREAD, events_unread
from affectstream.states import Reconnecting


class Mailbox:
    """As `Inbox`, filled by one task whether or not somebody reads. At most `MOST_UNREAD` and a few wait."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.ended = False
        self.error: errors.AffectStreamError | None = None
        self._changed = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """No more may be put, but for what this side says."""
        return len(self.events) >= MOST_UNREAD

    def put(self, event: Event) -> None:
        """Add an event. Of attempts to reconnect that nobody has read about the newest is kept."""
        if isinstance(event, Reconnecting) and self.events and isinstance(self.events[-1], Reconnecting):
            self.events.pop()
        self.events.append(event)
        self.wake()

    def take(self) -> Event:
        """The next event. Raises `IndexError` where none waits."""
        event = self.events.popleft()
        self.wake()
        return event

    def end(self, error: errors.AffectStreamError | None) -> None:
        """No more will come."""
        if not self.ended:
            self.ended, self.error = True, error
            self.wake()

    def wake(self) -> None:
        """Let everyone who waits look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Wait until something is new, or was taken."""
        await self._changed.wait()

    async def more(self) -> None:
        """Wait until something is new. Raises `ResourceExhausted`: as many events wait as may."""
        if self.ended:
            return
        if self.is_full:
            raise events_unread()
        await self.change()
