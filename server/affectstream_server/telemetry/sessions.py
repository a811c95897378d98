"""What a session's utterances are told to: their spans and their metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.observer import SCORING, UNSCORED, WHOSE, ScoreObserver, SessionObserver, Whose
from affectstream_server.stages.decide import Verdict
from affectstream_server.telemetry.calls import CALL, Call
from affectstream_server.telemetry.meters import Meters, status_name
from affectstream_server.telemetry.names import Attribute, Span, Told
from affectstream_server.telemetry.tracing import Tracing, exemplar, extract, traceparent
from affectstream_server.telemetry.utterance import Tracked, TrackedScore
from affectstream_server.timeline import ms_of_samples
from affectstream_server.utterance import Opened, Utterance

_FAILED: Final = frozenset({"DEADLINE_EXCEEDED", "OVERLOADED", "MODEL_ERROR"})
"""Statuses of finals that are errors of ours; the others say something of the speech."""
_GONE: Final = frozenset({"ABANDONED"})


class ObservedSession(SessionObserver):
    """One session, on however many calls."""

    def __init__(
        self,
        tracing: Tracing,
        meters: Meters,
        session_id: str,
        told_id: str,
        *,
        tenant: str,
        attributes: Mapping[str, str],
    ) -> None:
        super().__init__(session_id, told_id)
        self._tracing = tracing
        self._meters = meters
        self._call: Call | None = None
        self._tenant = tenant
        self._attributes: Told = dict(attributes)
        if told_id:
            self._attributes[Attribute.SESSION] = told_id
        self._open: dict[str, Tracked] = {}
        self._sealed: tuple[Tracked, float, float] | None = None
        self._reason = ""
        self.moved(1)

    def moved(self, epoch: int) -> None:
        self._call = CALL.get()
        WHOSE.set(self.whose)
        if self._call is not None:
            self._call.accepted(self._attributes | {Attribute.EPOCH: epoch})

    def opened(self, opened: Opened, channel: int, traceparent: str = "") -> None:
        self._track(opened.utterance_id, channel, traceparent)

    def declared(self, utterance: Utterance) -> None:
        tracked = self._open.get(utterance.utterance_id)
        if tracked is None:
            tracked = self._track(utterance.utterance_id, utterance.channel)
        tracked.declared_at = time.perf_counter()

    @contextmanager
    def score(self, utterance: Utterance, *, ahead: bool) -> Iterator[ScoreObserver]:
        tracked = self._open.get(utterance.utterance_id)
        score = TrackedScore(tracked, ahead=ahead) if tracked is not None else None
        trace_id = tracked.trace_id if tracked is not None else ""
        whose, asked = WHOSE.set(Whose(self.whose.session_id, trace_id)), SCORING.set(score or UNSCORED)
        try:
            yield score or UNSCORED
        finally:
            SCORING.reset(asked)
            WHOSE.reset(whose)
            if score is not None:
                score.drop()

    def speculated(self, *, used: bool) -> None:
        self._meters.speculated(used=used)

    def traceparent(self, utterance_id: str) -> str:
        tracked = self._open.get(utterance_id)
        return traceparent(tracked.span) if tracked is not None and self._tracing.on else ""

    def decided(self, verdict: Verdict, event: pb.AffectEvent) -> None:
        tracked = self._open.get(event.utterance_id)
        if tracked is None:
            return
        tracked.decided_at = now = time.perf_counter()
        timing = event.timing
        tracked.speculated = timing.speculated
        self._meters.decided(event, verdict.score, self._tenant, exemplar(tracked.span))
        tracked.status = status_name(event.status)
        if tracked.declared_at is not None and timing.HasField("hangover_ms"):
            waited_s = (timing.hangover_ms + timing.decision_ms) / 1_000
            began = tracked.declared_at - waited_s
            tracked.child(Span.ENDPOINTING, began, tracked.declared_at, _timed(event))
        deciding = now - timing.decide_ms / 1_000
        tracked.child(Span.DECIDE, deciding, now)
        if timing.HasField("explain_ms"):
            tracked.child(Span.EXPLAIN, deciding - timing.explain_ms / 1_000, deciding)
        if verdict.explanation is not None and verdict.explanation.occlusion is not None:
            asked = verdict.explanation.occlusion
            tracked.child(
                Span.SALIENCY, asked.began, asked.ended, {Attribute.SCORES: asked.scores}, asked.error
            )
        tracked.span.set_attributes(_told(event, verdict))

    def sealed(self, event: pb.SessionEvent, publish_s: float) -> None:
        self._sealed = None
        if event.HasField("affect") and event.affect.stage == pb.STAGE_FINAL:
            tracked = self._open.get(event.affect.utterance_id)
            if tracked is not None:
                self._sealed = (tracked, time.perf_counter(), publish_s)

    def written(self) -> None:
        if self._sealed is None:
            return
        (tracked, sealed_at, publish_s), self._sealed = self._sealed, None
        now = time.perf_counter()
        self._meters.stage("publish", publish_s, exemplar(tracked.span))
        tracked.child(Span.PUBLISH, sealed_at - publish_s, sealed_at)
        self._finish(tracked, now)

    def closing(self, reason: str) -> None:
        self._reason = self._reason or reason

    def lost(self) -> None:
        self._gone()

    def ended(self, reason: str) -> None:
        if not self._reason and reason in _GONE:
            self._gone()
        self._reason = self._reason or reason
        self._meters.sessions_closed.labels(self._reason).inc()
        self._abandon()

    def _track(self, utterance_id: str, channel: int, turn: str = "") -> Tracked:
        call = self._call
        attributes: Told = {
            **self._attributes,
            Attribute.UTTERANCE: self.told(utterance_id),
            Attribute.CHANNEL: channel,
        }
        parent, links = (self._parent(call), call.links) if call is not None else (None, [])
        if turn:
            parent = extract({"traceparent": turn})
        tracked = self._open[utterance_id] = Tracked(self._tracing, parent, links, utterance_id, attributes)
        return tracked

    def _parent(self, call: Call) -> Context:
        return call.parent

    def _finish(self, tracked: Tracked, now: float) -> None:
        """The final's bytes are out of the house."""
        self._meters.stage("emit", now - tracked.decided_at, exemplar(tracked.span))
        tracked.child(Span.EMIT, tracked.decided_at, now)
        self._end(tracked, now)
        if self._call is not None:
            self._call.utterances += 1

    def _end(self, tracked: Tracked, now: float) -> None:
        if tracked.declared_at is not None:
            seen = exemplar(tracked.span)
            self._meters.final(now - tracked.declared_at, seen, speculated=tracked.speculated)
        told: Told = {Attribute.STATUS: tracked.status}
        tracked.end(now, told, tracked.status if tracked.status in _FAILED else "")
        del self._open[tracked.utterance_id]

    def _abandon(self) -> None:
        now = time.perf_counter()
        for tracked in tuple(self._open.values()):
            self._meters.abandoned.inc()
            error = self._reason if self._reason == "ERROR" else ""
            tracked.end(now, {Attribute.OUTCOME: "abandoned", Attribute.REASON: self._reason}, error)
        self._open.clear()

    def _gone(self) -> None:
        if self._call is not None:
            self._call.abandoned = True


class ObservedAnalysis(ObservedSession):
    """The one utterance of an AnalyzeUtterance call, a part of the call's own span."""

    def moved(self, epoch: int) -> None:
        del epoch
        self._call = CALL.get()

    def decided(self, verdict: Verdict, event: pb.AffectEvent) -> None:
        super().decided(verdict, event)
        self._end(self._open[event.utterance_id], time.perf_counter())

    def ended(self, reason: str) -> None:
        self._reason = reason
        self._abandon()

    def _parent(self, call: Call) -> Context:
        return call.inner


def _timed(event: pb.AffectEvent) -> Told:
    """The two parts of endpointing."""
    timing = event.timing
    told: Told = {Attribute.HANGOVER_MS: timing.hangover_ms}
    if timing.HasField("decision_ms"):
        told[Attribute.DECISION_MS] = timing.decision_ms
    return told


def _told(event: pb.AffectEvent, verdict: Verdict) -> Told:
    """What is said of a final in its span: nothing of what was heard."""
    bounds, timing = verdict.utterance.bounds, event.timing
    told: Told = {
        Attribute.TRIGGER: bounds.trigger.value,
        Attribute.AUDIO_MS: ms_of_samples(bounds.audio_end - bounds.audio_start),
        Attribute.SPEECH_MS: ms_of_samples(bounds.speech_samples),
        Attribute.SPECULATED: timing.speculated,
        Attribute.DECIDE_MS: timing.decide_ms,
        Attribute.MODEL: event.model.name,
        Attribute.VERSION: event.model.version,
        **_timed(event),
    }
    if timing.HasField("queue_ms"):
        told[Attribute.QUEUE_MS] = timing.queue_ms
    if timing.HasField("compute_ms"):
        told[Attribute.COMPUTE_MS] = timing.compute_ms
    if timing.HasField("explain_ms"):
        told[Attribute.EXPLAIN_MS] = timing.explain_ms
    return told
