"""A model behind Triton, asked for one utterance at a time; Triton batches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream_server.cues.saliency import Span
from affectstream_server.observer import SCORING
from affectstream_server.scoring.breaker import Breaker, RetryBudget, State
from affectstream_server.scoring.gate import Gate
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import (
    ModelFault,
    ModelInfo,
    Score,
    ScorerOverloaded,
    ScorerUnavailable,
    ScoreTooLate,
)
from affectstream_server.scoring.triton_client import (
    Broken,
    NotThere,
    QueueFull,
    TimedOut,
    TritonClient,
    Unreachable,
)
from affectstream_server.scoring.triton_parts import Parts
from affectstream_server.scoring.triton_watch import Serving, Watch, attention_of, score_of
from affectstream_server.settings import TritonSettings
from affectstream_server.stages.decode import Samples

_log = logging.getLogger(__name__)

_RETRY_AFTER_S: Final = 0.1
_LEAST_S: Final = 0.001
_LOOKS: Final = 4
_NOT_LOADED: Final = "the model is not loaded"
_NOT_READY: Final = "the model is not ready; the server's log says why"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One call of `score`. Times are `time.perf_counter`."""

    utterance_id: str
    audio: Samples
    attention: bool
    asked: float
    until: float


class TritonScorer:
    """Scores by Triton's ModelInfer, with a deadline, a bound and a breaker.

    A call that finds no connection is made once more within the retry budget; one whose version was
    replaced is made again with the new one, after that has proved itself, within the deadline.
    """

    def __init__(
        self, client: TritonClient, wanted: str, settings: TritonSettings, *, max_pending: int
    ) -> None:
        """``wanted`` is NAME or NAME:VERSION."""
        self.name, _, pinned = wanted.partition(":")
        self._client = client
        self._changed: Callable[[], None] = lambda: None
        self._watch = Watch(
            client,
            self.name,
            pinned,
            period_s=settings.canary_s,
            timeout_s=settings.canary_timeout_ms / 1_000,
            changed=self._on_change,
        )
        self._breaker = Breaker()
        self._budget = RetryBudget(settings.retry_share)
        self._gate = Gate(settings.max_in_flight, max_pending)
        self._parts = Parts(
            client, self.name, self._gate, places=settings.max_in_flight, max_pending=max_pending
        )
        self._known: ModelInfo | None = None
        self._task: asyncio.Task[None] | None = None
        self.counts: Counter[str] = Counter()
        """Calls asked, retried, discarded, too_late, unreachable, overloaded, refused_by_breaker."""

    @property
    def model(self) -> ModelInfo:
        """The model that serves, or that last did. Raises `ScorerUnavailable` while none ever has."""
        if self._known is None:
            raise ScorerUnavailable(_NOT_READY)
        return self._known

    @property
    def trouble(self) -> str:
        """Why it may not serve now; empty where it may."""
        return self._watch.trouble

    @property
    def pending(self) -> int:
        """Utterances at the model, or waiting for it."""
        return self._gate.held

    @property
    def breaker(self) -> State:
        """Whether the model is asked at the moment."""
        return self._breaker.state

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to watch the model; ``changed`` is told when `trouble` or `model` changes."""
        self._changed = changed
        self._task = asyncio.get_running_loop().create_task(self._watch.run())

    async def close(self) -> None:
        """Stop watching. The connection is its owner's."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def score(
        self,
        utterance_id: str,
        audio: Samples,
        timeout_s: float,
        ticket: Ticket | None = None,
        *,
        attention: bool = False,
    ) -> Score:
        asked = time.perf_counter()
        wanted = _Wanted(utterance_id, audio, attention, asked, asked + timeout_s)
        try:
            async with self._gate.place(ticket or Ticket(), len(audio), timeout_s):
                return await self._admitted(wanted)
        except (TimeoutError, TimedOut):
            self.counts["too_late"] += 1
            raise ScoreTooLate(f"no score within {timeout_s * 1_000:.0f} ms") from None
        except QueueFull:
            self.counts["overloaded"] += 1
            raise ScorerOverloaded("the inference server's queue is full") from None

    async def score_without(
        self, audio: Samples, holes: Sequence[Span], ticket: Ticket, timeout_s: float
    ) -> NDArray[np.float32]:
        serving = self._watch.serving
        if serving is None or self._breaker.state is not State.CLOSED:
            raise ScorerUnavailable(_NOT_READY)
        return await self._parts.score(serving, audio, holes, ticket, timeout_s)

    async def _admitted(self, wanted: _Wanted) -> Score:
        """One utterance past the breaker, which learns of the outcome."""
        serving = self._watch.serving
        if serving is None:
            raise ScorerUnavailable(_NOT_READY)
        if not 0 < (samples := len(wanted.audio)) <= serving.model.max_samples:
            raise ModelFault(f"{samples} samples, expected 1 to {serving.model.max_samples}")
        its_pass = self._breaker.admit()
        if its_pass is None:
            self.counts["refused_by_breaker"] += 1
            raise ScorerUnavailable("the inference server failed too often and is not asked for a moment")
        try:
            score = await self._ask(serving, wanted)
        except (TimedOut, Unreachable, ModelFault) as error:
            self._breaker.failed(its_pass)
            self._watch.nudge()
            if isinstance(error, Unreachable):
                raise ScorerUnavailable("the inference server cannot be reached") from None
            raise
        except BaseException:  # cancelled, or refused for reasons that say nothing of the server
            self._breaker.abandoned(its_pass)
            raise
        self._breaker.succeeded(its_pass)
        return score

    async def _ask(self, serving: Serving, wanted: _Wanted) -> Score:
        self._budget.earn()
        try:
            return await self._ask_once(serving, wanted)
        except Unreachable as error:
            self.counts["unreachable"] += 1
            _log.warning("utterance %s: %s", wanted.utterance_id, error)
            self._watch.nudge()
            if not self._budget.spend():
                raise
            self.counts["retried"] += 1
            await asyncio.sleep(min(_RETRY_AFTER_S, max(0.0, wanted.until - time.perf_counter())))
            again = self._watch.serving
        except NotThere as error:
            _log.info("utterance %s: %s", wanted.utterance_id, error)
            return await self._ask_anew(wanted)
        if again is None:
            raise ScorerUnavailable(_NOT_READY)
        try:
            return await self._ask_once(again, wanted)
        except NotThere as error:
            raise ScorerUnavailable(_NOT_LOADED) from error

    async def _ask_anew(self, wanted: _Wanted) -> Score:
        """Look and ask a few times: while one version replaces another, a look may still see the old."""
        for _ in range(_LOOKS):
            async with asyncio.timeout(wanted.until - time.perf_counter()):
                serving = await self._watch.look_again()
            if serving is None:
                raise ScorerUnavailable(_NOT_READY)
            try:
                return await self._ask_once(serving, wanted)
            except NotThere as error:
                _log.info("utterance %s: %s", wanted.utterance_id, error)
        raise ScorerUnavailable(_NOT_LOADED)

    async def _ask_once(self, serving: Serving, wanted: _Wanted) -> Score:
        sent = time.perf_counter()
        if wanted.until - sent < _LEAST_S:
            raise TimedOut("no time is left")
        self.counts["asked"] += 1
        try:
            with SCORING.get().call(serving.model, self._breaker.state.value) as request_id:
                question = serving.question(
                    request_id or wanted.utterance_id, wanted.audio, self.name, attention=wanted.attention
                )
                tensors = await self._client.infer(question, wanted.until - sent)
            score = score_of(
                serving.model,
                tensors,
                compute_ms=(time.perf_counter() - sent) * 1_000,
                queue_ms=(sent - wanted.asked) * 1_000,
            )
            attention = attention_of(serving.model, serving.layout, tensors, len(wanted.audio))
            return replace(score, attention=attention)
        except Broken as error:
            _log.warning("utterance %s: %s", wanted.utterance_id, error)
            raise ModelFault(f"{serving.model.name}: the model failed") from None
        except ModelFault:
            self.counts["discarded"] += 1
            raise

    def _on_change(self) -> None:
        if self._watch.serving is not None:
            self._known = self._watch.serving.model
            self._breaker.close()
        self._changed()
