"""What lets a follower sleep until there is something to read."""

from __future__ import annotations

import asyncio


class Waking:
    """The part of every `affectstream_server.bus.bus.Follower` that is the same."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """See `Follower.wake`."""
        self._woken.set()

    async def wait(self, timeout_s: float) -> None:
        """See `Follower.wait`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            self.slept()
            return
        self._woken.clear()

    def slept(self) -> None:
        """Nobody woke it in time."""
