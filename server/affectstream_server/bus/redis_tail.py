"""The end of one log, read from Redis once for all who follow it in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from affectstream_server.bus.entry import BusAway, Placed, Position, Subject
from affectstream_server.bus.redis_entry import news_of
from affectstream_server.bus.redis_store import AWAY, Store
from affectstream_server.bus.waking import Waking

_KEPT: Final = 256
"""Events of the end; who is further behind reads for itself."""


class Tail:
    """Lives as long as it has followers."""

    def __init__(self, store: Store, subject: Subject) -> None:
        self._store = store
        self._subject = subject
        self._kept: deque[Placed] = deque()
        self._begin: Position | None = None
        self._end: Position = (0, 0)
        self._stale = True
        self._version = 0
        self._fetching: asyncio.Task[None] | None = None
        self.followers: set[Follower] = set()

    def wake(self, message: bytes | None = None) -> None:
        """There is news: what the message says. None: there may be some. Empty: what was read has changed."""
        if message == b"":
            self._version += 1
            self._begin = None
            self._kept.clear()
        if not message or not self._take(*news_of(self._subject, message)):
            self._stale = True
        for follower in self.followers:
            follower.wake()

    def _take(self, before: Position, placed: list[Placed]) -> bool:
        """Add news that follows what is known; False: it does not."""
        if self._begin is None or self._fetching is not None or self._stale:
            return False
        if not placed or placed[-1][0] <= self._end:
            return True
        if self._subject.is_tenant:
            follows = before == self._end
        else:
            follows = placed[0][1].sequence == self._end[1] + 1
        if follows:
            self._append(placed)
        return follows

    def _append(self, placed: list[Placed]) -> None:
        self._kept += placed
        if placed:
            self._end = placed[-1][0]
        while len(self._kept) > _KEPT:
            self._begin, _ = self._kept.popleft()

    async def read(self, after: Position, most: int) -> Sequence[Placed]:
        """See `affectstream_server.bus.bus.Follower.read`."""
        if self._begin is None:
            self._begin = self._end = after
        if after < self._begin:
            return await self._read(after, most)
        if after >= self._end and (self._stale or self._fetching is not None):
            if self._fetching is None:
                self._fetching = asyncio.get_running_loop().create_task(self._fetch(most))
                self._fetching.add_done_callback(_look_at)
            await asyncio.shield(self._fetching)
        return [placed for placed in self._kept if placed[0] > after][:most]

    def close(self) -> None:
        """Nobody follows any more."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def _fetch(self, most: int) -> None:
        self._stale = False
        version = self._version
        try:
            placed = await self._read(self._end, most)
        except BaseException:
            self._stale = True
            raise
        finally:
            self._fetching = None
        if version != self._version:
            return
        self._append(placed)
        self._stale = self._stale or len(placed) == most

    async def _read(self, after: Position, most: int) -> list[Placed]:
        try:
            return await self._store.read(self._subject, after, most)
        except AWAY:
            raise BusAway from None


class Follower(Waking):
    """See `affectstream_server.bus.bus.Follower`. ``leave`` is called when it is closed."""

    def __init__(self, tail: Tail, leave: Callable[[Follower], None]) -> None:
        super().__init__()
        self._tail = tail
        self._leave = leave

    def slept(self) -> None:
        """See `Waking.slept`: the tail may have missed that something came."""
        self._tail.wake()
        self._woken.clear()

    async def read(self, after: Position, most: int) -> Sequence[Placed]:
        """See `Follower.read`."""
        return await self._tail.read(after, most)

    def close(self) -> None:
        """See `Follower.close`."""
        self._leave(self)


def _look_at(task: asyncio.Task[None]) -> None:
    """Whoever waited has its error; there may be nobody left."""
    if not task.cancelled():
        task.exception()
