"""Whether the model of this process may serve: it knows the known sound, and its threads are at work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from affectstream_server.scoring.canary import Answer, CanaryFailed
from affectstream_server.scoring.scorer import ScorerOverloaded, ScoringError

_log = logging.getLogger(__name__)


class EmbeddedWatch:
    """Asks for the known sound twice in a period, by the way that every utterance goes.

    Another answer than the known one is trouble at once. So is a period without any score: the threads
    hang. It ends with the next right answer.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], Awaitable[Answer]],
        known: Answer,
        *,
        period_s: float,
        threads: int,
    ) -> None:
        """``ask`` is what the model says of the known sound now, and may raise `ScoringError`."""
        self._name = name
        self._ask = ask
        self._known = known
        self._period_s = period_s
        self._threads = threads
        self._changed: Callable[[], None] = lambda: None
        self._watching: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._unanswered = False
        self._scored_at = time.monotonic()
        self.trouble = ""
        """Why the model may not serve; empty where it may."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin, once; ``changed`` is told when `trouble` comes and goes. Needs a running loop."""
        if self._watching is None:
            self._changed = changed
            self._scored_at = time.monotonic()
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Stop."""
        tasks = [*self._asked, *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def scored(self) -> None:
        """An utterance was scored: a queue is long, and not stuck."""
        self._scored_at = time.monotonic()

    async def _watch(self) -> None:
        while True:
            silent_s = time.monotonic() - self._scored_at
            if self._unanswered and silent_s > self._period_s:
                self._stop_serving(f"no score for {silent_s:.1f} s")
            self._unanswered = True
            if len(self._asked) < self._threads:  # more would only wait behind those that hang
                task = asyncio.get_running_loop().create_task(self._prove())
                self._asked.add(task)
                task.add_done_callback(self._asked.discard)
            await asyncio.sleep(self._period_s / 2)

    async def _prove(self) -> None:
        try:
            (await self._ask()).compare(self._known)
        except ScorerOverloaded:
            return
        except (CanaryFailed, ScoringError) as error:
            self._stop_serving(str(error))
        except Exception as error:  # noqa: BLE001 - the watch must go on
            self._stop_serving(f"asking it failed: {type(error).__name__}")
        else:
            self._scored_at = time.monotonic()
            self._serve()
        self._unanswered = False

    def _stop_serving(self, why: str) -> None:
        if not self.trouble:
            self.trouble = f"{self._name}: {why}"
            _log.error("%s; no stream is accepted until it is well", self.trouble)
            self._changed()

    def _serve(self) -> None:
        if self.trouble:
            self.trouble = ""
            _log.warning("%s: well again", self._name)
            self._changed()
