"""Something that is so, or is not, and may be waited for."""

from __future__ import annotations

import asyncio


class Flag:
    """What `asyncio.Event` does, in an eighth of its memory: each stream has four."""

    __slots__ = ("_set", "_waiting")

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """It is so."""
        return self._set

    def set(self) -> None:
        """Now it is so: all who wait go on."""
        self._set = True
        for waiter in self._waiting or ():
            if not waiter.done():
                waiter.set_result(None)
        self._waiting = None

    def clear(self) -> None:
        """Now it is not."""
        self._set = False

    async def wait(self) -> None:
        """Return when it is so."""
        if self._set:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if self._waiting is not None and waiter in self._waiting:
                self._waiting.remove(waiter)
