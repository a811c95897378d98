"""How long something waited: the time that passed, without what a busy machine took of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_EVERY_S = 0.01


class Waiting:
    """Looks every 10 ms how much later than asked the loop comes back: other work, here or elsewhere.

    A wait leaves the loop free: it is not late then, and the wait counts as a whole.
    """

    def __init__(self) -> None:
        self._began_at = self._asked_at = time.monotonic()
        self._before_s = 0.0

    @property
    def late_s(self) -> float:
        """What the loop was late until now, all of it together."""
        return self._before_s + max(0.0, time.monotonic() - self._asked_at - _EVERY_S)

    @property
    def seconds(self) -> float:
        """What passed until now, without what the loop was late."""
        return time.monotonic() - self._began_at - self.late_s

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            self._asked_at = time.monotonic()
            await asyncio.sleep(_EVERY_S)
            self._before_s = self.late_s


@asynccontextmanager
async def waiting() -> AsyncIterator[Waiting]:
    """Measured from here on."""
    waited = Waiting()
    watching = asyncio.create_task(waited.watch())
    try:
        yield waited
    finally:
        watching.cancel()
        await asyncio.wait([watching])
