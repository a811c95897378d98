"""Calls that are open at once, whatever they wait for: those are among them whose answer nobody reads."""

from __future__ import annotations

import asyncio
from collections import Counter

from affectstream_server.errors import LimitReached


class OpenCalls:
    """Counts calls by whose they are. Bounds that know what a call is for come first; this is for others."""

    def __init__(self, most: int, of: str) -> None:
        """At most ``most`` are open of one: ``of`` says of one what."""
        self._most = most
        self._of = of
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open.total()

    def admit(self, whose: str) -> None:
        """Count the call that this task serves, as long as gRPC holds it. Raises `LimitReached`."""
        open_now = self._open[whose]
        if open_now >= self._most:
            raise LimitReached(
                f"calls: {open_now} are open, the most that {self._of} may have",
                reason="TOO_MANY_CALLS",
                field="calls",
                value=open_now,
                limit=self._most,
                retry_after_s=1.0,
            )
        self._open[whose] += 1
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - a call is served by a task, which ends when all of it is sent
        call.add_done_callback(lambda _: self._over(whose))

    def _over(self, whose: str) -> None:
        self._open[whose] -= 1
        if not self._open[whose]:
            del self._open[whose]
