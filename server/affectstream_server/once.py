"""Something that happens once."""

from __future__ import annotations

import asyncio


class Once:
    """An event that is never cleared, in a fraction of the memory of `asyncio.Event`: each stream has two."""

    __slots__ = ("_happened", "_waiter")

    def __init__(self) -> None:
        self._happened = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """It happened."""
        self._happened = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    async def wait(self) -> None:
        """Wait until it happened."""
        if self._happened:
            return
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiter)  # who waits and is cancelled takes nobody else along
