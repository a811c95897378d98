"""When the first choice cannot answer, the embedded model does, and says that it did."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import (
    ModelInfo,
    Score,
    ScorerOverloaded,
    ScorerUnavailable,
    ScoringError,
    ServedScorer,
)
from affectstream_server.stages.decode import Samples

_log = logging.getLogger(__name__)

_FIRST_SHARE: Final = 0.8
"""The first choice's share of an utterance's time; the rest is enough for the embedded model."""


class WithFallback:
    """Two scorers as one, in trouble only where both are.

    A full queue is passed on: what is too much for an inference server is too much for one process.
    """

    def __init__(self, first: ServedScorer, second: ServedScorer) -> None:
        self._first = first
        self._second = second
        self._model = replace(second.model, fallback=True)
        self._changed: Callable[[], None] = lambda: None
        self.name = first.name
        self.counts: Counter[str] = Counter()
        """Utterances that fell back, since the start."""

    @property
    def model(self) -> ModelInfo:
        """The first choice where it may serve, else the second."""
        if not self._first.trouble:
            return self._first.model
        return self._model

    @property
    def second(self) -> ModelInfo:
        """The model that answers where the first choice cannot."""
        return self._model

    @property
    def trouble(self) -> str:
        return self._first.trouble and self._second.trouble

    def which(self, model: ModelInfo) -> ServedScorer:
        """The one of the two that gave a score of this model."""
        return self._second if model.fallback else self._first

    @property
    def first(self) -> ServedScorer:
        """The first choice."""
        return self._first

    @property
    def pending(self) -> int:
        """At the first choice; the second's are soon over."""
        return self._first.pending

    def start(self, changed: Callable[[], None]) -> None:
        self._first.start(changed)
        self._second.start(changed)

    async def score(
        self,
        utterance_id: str,
        audio: Samples,
        timeout_s: float,
        ticket: Ticket | None = None,
        *,
        attention: bool = False,
    ) -> Score:
        until = asyncio.get_running_loop().time() + timeout_s
        try:
            if self._first.trouble:
                raise ScorerUnavailable("the model is not ready; the server's log says why")
            return await self._first.score(
                utterance_id, audio, _FIRST_SHARE * timeout_s, ticket, attention=attention
            )
        except ScorerOverloaded:
            raise
        except ScoringError as error:
            _log.info("utterance %s falls back: %s", utterance_id, error)
            self.counts["fell_back"] += 1
            left = until - asyncio.get_running_loop().time()
            score = await self._second.score(utterance_id, audio, left, ticket, attention=attention)
            return replace(score, model=self._model, detail=f"the fallback model answered: {error}")

    async def close(self) -> None:
        await self._first.close()
        await self._second.close()
