"""What a session says: its scores in order, its turns, its summary, and the way out of all of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.announce import speech_ended, speech_started
from affectstream_server.errors import InternalFault, LimitReached, ServiceError
from affectstream_server.guidance import Advisor
from affectstream_server.observer import UNOBSERVED
from affectstream_server.scoring.router import Route
from affectstream_server.scoring.scorer import ScoringError
from affectstream_server.stages.abstain import doubt
from affectstream_server.stages.baseline import Baselines
from affectstream_server.stages.cue_baseline import CueBaselines
from affectstream_server.stages.decide import ConsentWithheld, OverQuota, TooShort, Verdict, affect_event
from affectstream_server.stages.emit import EventQueue
from affectstream_server.stages.fuse import TextFusion
from affectstream_server.stages.score import ScoringQueue
from affectstream_server.stages.segment import Ended
from affectstream_server.stream_quota import StreamQuota
from affectstream_server.summary import Summary
from affectstream_server.timeline import ms_of_samples
from affectstream_server.transcripts import Transcripts
from affectstream_server.turns import Turns
from affectstream_server.utterance import Opened, Utterance

_log = logging.getLogger(__name__)

LEAST_SAMPLES: Final = 1_600
"""Of an utterance that a model is asked about: 100 ms."""


class Voice:
    """From utterances to events.

    ``delivered`` is called after each final, ``failed`` when events are not read in time.
    """

    def __init__(
        self,
        scorer: Route,
        quota: StreamQuota,
        events: EventQueue,
        *,
        deadline_ms: int,
        delivered: Callable[[], None],
        failed: Callable[[ServiceError], None],
        fusion: TextFusion | None = None,
    ) -> None:
        self._scorer = scorer
        self._events = events
        self._delivered = delivered
        self._failed = failed
        self._quota = quota
        quota.warn = self.warn
        self.observer = UNOBSERVED
        """Is told of each utterance."""
        self._summary = Summary()
        self._baselines = Baselines()
        self._cue_baselines = CueBaselines()
        self._closed = False
        self.fusion = fusion
        """Weighs in what was said; None: transcripts are not served."""
        self.words: Transcripts | None = None
        """What was said; None: it is not listened for."""
        self.turns = Turns(lambda label, probability: not doubt(scorer.model, label, probability))
        self.scoring = ScoringQueue(
            scorer,
            quota.share,
            deadline_ms=deadline_ms,
            deliver=self._deliver,
            deliver_provisional=self._deliver_provisional,
        )
        self.advisor: Advisor | None = None
        """Finals and turns carry its guidance."""
        self.embedding = False
        """Finals carry the embedding."""
        self.min_utterance_ms = 0
        """Less speech is not scored."""
        self.consent_withdrawn = False
        """Finals are without values."""

    @property
    def closed(self) -> bool:
        """Nothing more is said."""
        return self._closed

    def emit(self, event: pb.SessionEvent) -> None:
        """Queue an event."""
        if self._closed:
            return
        try:
            self._events.put(event)
        except LimitReached as error:
            self._failed(error)

    def warn(
        self,
        code: str,
        message: str,
        *,
        field: str = "",
        value: object = "",
        limit: object = "",
        control_id: str = "",
    ) -> None:
        """Say that something was wrong and the stream goes on."""
        warning = pb.Warning(
            code=code, message=message, field=field, value=str(value), limit=str(limit), control_id=control_id
        )
        self.emit(pb.SessionEvent(warning=warning))

    def listen_for_words(self, language_code: str, wait_ms: int) -> None:
        """Take transcripts, where the fusion understands the stream's language."""
        if self.fusion is None or language_code.lower().partition("-")[0] not in self.fusion.languages:
            return
        self.words = Transcripts(self._warn_of_words, wait_ms)
        if wait_ms:
            self.scoring.hold = self.words.wait_for

    def took(self, channel: int, decided: Sequence[Opened | Utterance]) -> None:
        """Utterances of a channel began or ended: say so, and score those that ended."""
        for item in decided:
            if isinstance(item, Utterance):
                self.observer.declared(item)
                self.emit(speech_ended(item))
                refusal = self._refusal(item.bounds)
                if refusal is None:
                    self._quota.take_utterance()
                elif isinstance(refusal, OverQuota):
                    self._quota.refuse_utterance(refusal)
                if self.words is not None:
                    self.words.ended(item)
                self.scoring.submit(item, refusal)
            else:
                self._summary.utterances += 1
                self.turns.began(item.utterance_id, item.bounds.audio_start)
                self.observer.opened(item, channel, self.turns.traceparent_of(item.utterance_id))
                self.emit(speech_started(channel, item))

    def withdraw_consent(self) -> None:
        """Take the values out of everything that is not sent yet, and of all that follows."""
        self.consent_withdrawn = True
        self._events.withhold()
        self._summary.withhold()
        self._baselines.clear()
        self._cue_baselines.clear()
        if self.advisor is not None:
            self.advisor.clear()
        self.turns.withhold()
        if self.words is not None:
            self.words.clear()

    def is_scored(self, bounds: Ended) -> bool:
        """The model would be asked about an utterance of these bounds."""
        return self._refusal(bounds) is None

    def end_turns(self, settled_until: int) -> None:
        """Say the turns that are over: no utterance still to be found begins before ``settled_until``."""
        for turn in self.turns.complete(settled_until):
            if self.advisor is not None:
                self.advisor.advise(turn)
            self.emit(pb.SessionEvent(turn_affect=turn))

    def close(self, closed: pb.SessionClosed, progress: pb.Progress, heard: int) -> None:
        """Say the last words: open turns, progress, summary, why. ``heard`` is in samples at 16 kHz."""
        self.turns.end(heard)
        self.end_turns(heard)
        if self.words is not None:
            self.words.close()
        self.emit(pb.SessionEvent(progress=progress))
        summary = self._summary.message(heard, progress.empty_chunks, self.scoring)
        self.emit(pb.SessionEvent(session_summary=summary))
        self.emit(pb.SessionEvent(session_closed=closed))
        self.fall_silent()

    def fall_silent(self) -> None:
        """Drop what is not said yet; what is queued is still written."""
        self._closed = True
        self.scoring.close()
        self._events.close()

    def _refusal(self, bounds: Ended) -> ScoringError | None:
        """Why the model is not asked about an utterance of these bounds."""
        if self.consent_withdrawn:
            return ConsentWithheld("the speaker withdrew consent")
        if bounds.audio_end - bounds.audio_start < LEAST_SAMPLES:
            length_ms = ms_of_samples(bounds.audio_end - bounds.audio_start)
            return TooShort(f"{length_ms:.0f} ms of audio, no model scores less than 100 ms")
        speech_ms = ms_of_samples(bounds.speech_samples)
        if speech_ms < self.min_utterance_ms:
            least = f"{self.min_utterance_ms} ms (min_utterance_ms)"
            return TooShort(f"{speech_ms:.0f} ms of speech, scored from {least}")
        return self._quota.over_utterances

    def _deliver(self, verdict: Verdict) -> None:
        try:
            self._say_final(verdict)
        except Exception:  # noqa: BLE001 - those after it must be said, or the end would be waited for for ever
            _log.exception("a final could not be said")
            self._failed(InternalFault())
        self._delivered()

    def _say_final(self, verdict: Verdict) -> None:
        utterance = verdict.utterance
        if self.consent_withdrawn and verdict.score is not None:
            verdict = Verdict(utterance, None, self._refusal(utterance.bounds), verdict.scored_at)
        if self.words is not None:
            verdict = self._with_words(verdict, self.words)
        event = affect_event(
            verdict,
            self._scorer.model,
            embedding=self.embedding,
            turn_id=self.turns.turn_of(utterance.utterance_id),
        )
        event.traceparent = self.observer.traceparent(utterance.utterance_id)
        self._baselines.compare(utterance.channel, event)
        self._cue_baselines.compare(utterance.channel, event)
        if self.advisor is not None:
            self.advisor.advise(event, utterance.channel)
        self._summary.add(event, verdict)
        self.turns.add(event)
        self.observer.decided(verdict, event)
        self.emit(pb.SessionEvent(channel=utterance.channel, affect=event))

    def _with_words(self, verdict: Verdict, words: Transcripts) -> Verdict:
        text, score = words.of(verdict.utterance), verdict.score
        if not text or score is None or self.fusion is None:
            return verdict
        try:
            fused = self.fusion.fuse(text, score.probabilities, score.model.labels)
        except Exception as error:  # noqa: BLE001 - a fusion's fault is not the utterance's; its text may be said
            _log.error("weighing in words failed: %s", type(error).__name__)
            return verdict
        if fused is None:
            return verdict
        both = replace(score, probabilities=fused.probabilities, text_weight=fused.text_weight)
        return replace(verdict, score=both)

    def _warn_of_words(self, code: str, message: str, value: str) -> None:
        self.warn(code, message, field="control.transcript", value=value)

    def _deliver_provisional(self, verdict: Verdict, trigger: str) -> None:
        if self.consent_withdrawn:
            return
        event = affect_event(
            verdict,
            self._scorer.model,
            embedding=False,
            provisional=trigger,
            turn_id=self.turns.turn_of(verdict.utterance.utterance_id),
        )
        event.traceparent = self.observer.traceparent(event.utterance_id)
        self.emit(pb.SessionEvent(channel=verdict.utterance.channel, affect=event))
