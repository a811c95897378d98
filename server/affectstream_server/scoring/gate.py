"""So many scores at once; the others wait for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from affectstream_server.scoring.fair import FairQueue
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import ScorerOverloaded


class Gate:
    """``slots`` at once, at most ``limit`` waiting, in fair order. Lives on one event loop."""

    def __init__(self, slots: int, limit: int) -> None:
        self._free = slots
        self._slots = slots
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue(limit)

    @property
    def held(self) -> int:
        """Those inside and those that wait."""
        return self._slots - self._free + len(self._waiting)

    @asynccontextmanager
    async def place(self, ticket: Ticket, cost: float, timeout_s: float) -> AsyncIterator[None]:
        """A slot, from its turn to the end of the block.

        Raises `ScorerOverloaded`, and `TimeoutError` where the turn does not come within ``timeout_s``.
        """
        await self._enter(ticket, cost, timeout_s)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, ticket: Ticket, cost: float, timeout_s: float) -> None:
        if self._free and not len(self._waiting):
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        displaced = self._waiting.push(ticket, cost, turn)
        if displaced is not None and not displaced.done():
            displaced.set_exception(displaced_error())
        try:
            async with asyncio.timeout(timeout_s):
                await turn
        except BaseException:
            self._waiting.discard(ticket)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()  # the turn came, and nobody was there to take it
            raise

    def _leave(self) -> None:
        while (turn := self._waiting.pop()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def displaced_error() -> ScorerOverloaded:
    """The failure of a score that made place for another tenant's, or for its own tenant's final."""
    return ScorerOverloaded("too many utterances are waiting, and this one was over its tenant's share")
