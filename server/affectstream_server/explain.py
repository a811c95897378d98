"""Explain: what stands beside a score, for those who ask: cues of the voice, and where the score rests.

Cues are measured on a thread of their own while the model scores. Saliency is by the model's own attention,
which comes with the score; a model without is asked a few times more, behind everybody's scores. A final
waits for both only so long as settings say, and never beyond its deadline: what is late is left out, and the
event says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Final

from affectstream_server.cues import saliency
from affectstream_server.cues.catalogue import measure
from affectstream_server.cues.saliency import Span
from affectstream_server.cues.speech import Speech
from affectstream_server.scoring.load import Share, Ticket
from affectstream_server.scoring.pool import FairPool
from affectstream_server.scoring.router import Route
from affectstream_server.scoring.scorer import Score, ScorerOverloaded, ScoringError
from affectstream_server.settings import Settings
from affectstream_server.stages.decide import Explanation, Occlusion, Verdict
from affectstream_server.utterance import Utterance

_log = logging.getLogger(__name__)

_THREADS: Final = 1
"""An utterance of 3 s takes it about 4 ms."""
_MARGIN_S: Final = 0.005
"""What is left of a deadline for the event itself."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """An utterance while it is measured."""

    speech: Speech
    values: dict[str, float]
    inside: dict[str, float]
    outside: dict[str, float]


class Explainer:
    """Measures for every stream of this process."""

    def __init__(self, settings: Settings) -> None:
        self._pool: FairPool[_Heard] = FairPool(_THREADS, settings.scoring.max_pending, name="score-cues")
        self._cues_wait_s = settings.outputs.cues_wait_ms / 1_000
        self._saliency_wait_s = settings.outputs.saliency_wait_ms / 1_000

    def of(self, scorer: Route, share: Share, *, cues: bool, saliency: bool) -> Explaining | None:
        """What one stream asks for; None: nothing. Where it wants saliency, ``scorer`` asks for attention."""
        scorer.attention = saliency
        return Explaining(self, scorer, share, cues=cues, saliency=saliency) if cues or saliency else None

    def close(self) -> None:
        """Drop what waits."""
        self._pool.close()

    async def hear(self, ticket: Ticket, utterance: Utterance) -> _Heard:
        """Measure an utterance. Raises `ScorerOverloaded`."""

        def work() -> _Heard:
            speech = Speech(utterance.audio)
            return _Heard(speech, measure(speech), {}, {})

        return await self._pool.run(ticket, len(utterance.audio), None, work)

    async def compare(self, ticket: Ticket, heard: _Heard, spans: list[Span]) -> _Heard:
        """Measure it inside and outside of the spans, too. Raises `ScorerOverloaded`."""

        def work() -> _Heard:
            here = saliency.inside(spans, heard.speech.frames.count)
            return replace(heard, inside=measure(heard.speech, here), outside=measure(heard.speech, ~here))

        return await self._pool.run(ticket, len(heard.speech.frames.audio), None, work)

    def until(self, *, saliency: bool, deadline: float) -> float:
        """When a final leaves at the latest whose score has just come; `time.perf_counter`."""
        wait_s = self._saliency_wait_s if saliency else self._cues_wait_s
        return min(time.perf_counter() + wait_s, deadline - _MARGIN_S)


class Explaining:
    """What one stream asks for beside its scores."""

    def __init__(
        self, explainer: Explainer, scorer: Route, share: Share, *, cues: bool, saliency: bool
    ) -> None:
        self._explainer = explainer
        self._scorer = scorer
        self._share = share
        self._cues = cues
        self._saliency = saliency

    async def explained(self, utterance: Utterance, scoring: Awaitable[Verdict], deadline: float) -> Verdict:
        """The verdict with what was asked for, by ``deadline`` in `time.perf_counter` as far as it is there.

        Never raises what the explanation met: the score is what counts.
        """
        hearing = None
        if self._cues:
            hearing = asyncio.ensure_future(self._explainer.hear(self._ticket(), utterance))
        try:
            verdict = await scoring
            if verdict.score is None:
                return verdict
            explanation = await self._explain(utterance, verdict.score, hearing, deadline)
            explain_ms = (time.perf_counter() - verdict.scored_at) * 1_000
            return replace(verdict, explanation=explanation, explain_ms=explain_ms)
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)

    async def _explain(
        self, utterance: Utterance, score: Score, hearing: asyncio.Future[_Heard] | None, deadline: float
    ) -> Explanation:
        missing = []
        spans: list[Span] = []
        occlusion = None
        if self._saliency and score.attention is not None:
            spans = saliency.attended(len(utterance.audio), score.attention)
        elif self._saliency:
            began, wrong = time.perf_counter(), ""
            holes = saliency.holes(len(utterance.audio))
            until = self._explainer.until(saliency=True, deadline=deadline)
            try:
                async with asyncio.timeout(until - time.perf_counter()):
                    spans = await self._spans(utterance, score, holes, until)
            except Exception as error:  # noqa: BLE001 - the final must come
                missing.append(f"no saliency: {_reason(error)}")
                wrong = type(error).__name__
            occlusion = Occlusion(began, time.perf_counter(), len(holes), wrong)
        heard = None
        if hearing is not None:
            until = self._explainer.until(saliency=False, deadline=deadline)
            try:
                async with asyncio.timeout(until - time.perf_counter()):
                    heard = await asyncio.shield(hearing)
                    if spans:
                        heard = await self._explainer.compare(self._ticket(), heard, spans)
            except Exception as error:  # noqa: BLE001 - the final must come
                missing.append(f"no {'comparison of ' if heard else ''}cues: {_reason(error)}")
        if heard is None:
            return Explanation(spans=tuple(spans), missing="; ".join(missing), occlusion=occlusion)
        return Explanation(
            heard.values, heard.inside, heard.outside, tuple(spans), "; ".join(missing), occlusion
        )

    async def _spans(self, utterance: Utterance, score: Score, holes: list[Span], until: float) -> list[Span]:
        samples = len(utterance.audio)
        if not holes:
            return []
        top = int(score.probabilities.argmax())
        timeout_s = until - time.perf_counter()
        left = await self._scorer.score_without(score, utterance.audio, holes, self._ticket(), timeout_s)
        return saliency.spans(samples, float(score.probabilities[top]), left[:, top])

    def _ticket(self) -> Ticket:
        """A place of its own: it does not count as a score in flight."""
        return Ticket(self._share.tenant, self._share.stream, self._share.weight)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "not ready in time"
    if isinstance(error, ScorerOverloaded):
        return "too many utterances are waiting"
    if isinstance(error, ScoringError):
        return str(error)
    _log.error("an explanation failed", exc_info=error)
    return "it could not be measured"
