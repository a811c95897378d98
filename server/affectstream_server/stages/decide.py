"""Decide: what an utterance's score is worth, as the values and the status of its event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cues.catalogue import CUES
from affectstream_server.cues.saliency import Span
from affectstream_server.scoring.scorer import (
    ModelInfo,
    Score,
    ScorerOverloaded,
    ScoreTooLate,
    ScoringError,
)
from affectstream_server.stages.abstain import standing
from affectstream_server.stages.polar import add_polar
from affectstream_server.stages.quality import clipped_ratio, snr_db
from affectstream_server.stages.segment import Trigger
from affectstream_server.timeline import duration, ms_of_samples
from affectstream_server.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Occlusion:
    """The extra scores that saliency took. Times are `time.perf_counter`."""

    began: float
    ended: float
    scores: int
    error: str = ""
    """Name of what went wrong; empty: all of them came."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands beside a score, for those who asked. Cues by name, in their units."""

    cues: Mapping[str, float] = field(default_factory=dict)
    inside: Mapping[str, float] = field(default_factory=dict)
    """Within ``spans``."""
    outside: Mapping[str, float] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    """Where the score rests."""
    missing: str = ""
    """What was asked for and is not here, and why."""
    occlusion: Occlusion | None = None
    """How ``spans`` were found; None: by the model's own attention, or nobody asked."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An utterance and what became of its score: exactly one of ``score`` and ``failure`` is set."""

    utterance: Utterance
    score: Score | None
    failure: ScoringError | None
    scored_at: float
    """`time.perf_counter` when the score or the failure came, or was taken."""
    queue_ms: float | None = None
    speculated: bool = False
    """The score was begun before the endpoint."""
    explanation: Explanation | None = None
    """Only where it was asked for."""
    explain_ms: float | None = None
    """How long the final waited for it from ``scored_at`` on; None: nothing was asked for."""


class TooShort(ScoringError):
    """Less speech than is worth a score; none was asked for."""


class ConsentWithheld(ScoringError):
    """The speaker withdrew consent; no score was asked for, or it was thrown away."""


class OverQuota(ScoringError):
    """The tenant's utterances are used up for now; no score was asked for."""


_FAILURES: dict[type[ScoringError], pb.AffectStatus.ValueType] = {
    TooShort: pb.AFFECT_STATUS_INSUFFICIENT_SPEECH,
    ConsentWithheld: pb.AFFECT_STATUS_CONSENT_WITHHELD,
    ScorerOverloaded: pb.AFFECT_STATUS_OVERLOADED,
    OverQuota: pb.AFFECT_STATUS_OVERLOADED,
    ScoreTooLate: pb.AFFECT_STATUS_DEADLINE_EXCEEDED,
}


def affect_event(
    verdict: Verdict, model: ModelInfo, *, embedding: bool, provisional: str = "", turn_id: str = ""
) -> pb.AffectEvent:
    """The event of an utterance: its final one, or a ``provisional`` one with that trigger."""
    utterance = verdict.utterance
    bounds = utterance.bounds
    clipped = clipped_ratio(utterance.audio)
    event = pb.AffectEvent(
        utterance_id=utterance.utterance_id,
        turn_id=turn_id,
        continues_utterance_id=utterance.continues,
        audio_start=duration(bounds.audio_start),
        audio_end=duration(bounds.audio_end),
        stage=pb.STAGE_PROVISIONAL if provisional else pb.STAGE_FINAL,
        trigger=pb.Trigger.Value(f"TRIGGER_{provisional or bounds.trigger.value}"),
        quality=pb.AudioQuality(
            speech_duration=duration(bounds.speech_samples),
            speech_ratio=min(1.0, bounds.speech_samples / max(1, bounds.audio_end - bounds.audio_start)),
            clipped=clipped > 0,
            clipped_ratio=clipped,
            truncated=bounds.trigger is Trigger.MAX_DURATION,
            barge_in=utterance.barge_in,
        ),
        model=model_message(verdict.score.model if verdict.score else model),
        timing=pb.Timing(speculated=verdict.speculated),
    )
    snr = snr_db(utterance.audio)
    if snr is not None:
        event.quality.snr_db = snr
    if not provisional:
        event.timing.hangover_ms = ms_of_samples(bounds.decidable_at - bounds.speech_end)
        if utterance.decision_ms is not None:
            event.timing.decision_ms = utterance.decision_ms
    if verdict.queue_ms is not None:
        event.timing.queue_ms = verdict.queue_ms
    if verdict.score is not None:
        _fill_in(event, verdict.score, embedding=embedding)
        event.status, detail = standing(
            verdict.score.model,
            event.top_label,
            float(verdict.score.probabilities.max()),
            snr_db=snr,
            speech_samples=bounds.speech_samples,
        )
        event.status_detail = "; ".join(filter(None, (detail, verdict.score.detail)))
        if verdict.explanation is not None and not provisional:
            _explain(event, verdict.explanation, bounds.audio_start)
        if event.status == pb.AFFECT_STATUS_LOW_SNR:  # the card vouches for nothing in so much noise
            event.uncertainty.calibrated = False
    elif verdict.failure is not None:
        event.status = _FAILURES.get(type(verdict.failure), pb.AFFECT_STATUS_MODEL_ERROR)
        event.status_detail = str(verdict.failure)
    decided_ms = (time.perf_counter() - verdict.scored_at) * 1_000
    if verdict.explain_ms is not None and not provisional:
        event.timing.explain_ms = verdict.explain_ms
    event.timing.decide_ms = max(0.0, decided_ms - (verdict.explain_ms or 0.0))
    return event


def _fill_in(event: pb.AffectEvent, score: Score, *, embedding: bool) -> None:
    model = score.model
    probabilities = score.probabilities
    for label, probability in zip(model.labels, probabilities.tolist(), strict=True):
        event.emotions.add(label=label, probability=probability)
    event.top_label = model.labels[int(np.argmax(probabilities))]
    for name, value in zip(model.dimensions, score.dimensions.tolist(), strict=True):
        setattr(event.dimensions, name, value)
    add_polar(event.dimensions)
    fused = score.text_weight is not None  # what was calibrated is the voice's distribution
    event.uncertainty.CopyFrom(uncertainty(probabilities, calibrated=model.calibrated and not fused))
    if score.text_weight is not None:
        event.text_fused, event.text_weight = True, score.text_weight
    for answer in score.user_answers:
        output = event.user_outputs.add(
            name=answer.name, top_label=answer.labels[int(np.argmax(answer.probabilities))]
        )
        for label, probability in zip(answer.labels, answer.probabilities.tolist(), strict=True):
            output.scores.add(label=label, probability=probability)
    event.timing.compute_ms = score.compute_ms
    if embedding:
        event.embedding.extend(score.embedding.tolist())


def _explain(event: pb.AffectEvent, explanation: Explanation, start: int) -> None:
    """``start`` is the utterance's, in samples at 16 kHz."""
    for cue in CUES:
        if cue.name not in explanation.cues:
            continue
        message = event.cues.add(name=cue.name, value=explanation.cues[cue.name], unit=cue.unit)
        if cue.name in explanation.inside:
            message.salient_value = explanation.inside[cue.name]
        if cue.name in explanation.outside:
            message.other_value = explanation.outside[cue.name]
    for span in explanation.spans:
        event.saliency.add(
            audio_start=duration(start + span.start), audio_end=duration(start + span.end), weight=span.weight
        )
    if explanation.spans:
        event.saliency_method = (
            pb.SALIENCY_METHOD_OCCLUSION if explanation.occlusion else pb.SALIENCY_METHOD_ATTENTION
        )
    event.status_detail = "; ".join(filter(None, (event.status_detail, explanation.missing)))


def uncertainty(probabilities: NDArray[np.floating[Any]], *, calibrated: bool) -> pb.Uncertainty:
    """How sure a distribution ``[labels]`` is."""
    shares = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    second, first = np.sort(shares)[-2:]
    return pb.Uncertainty(
        entropy=float(np.clip(-(shares * np.log(shares)).sum() / np.log(len(shares)), 0.0, 1.0)),
        margin=float(first - second),
        calibrated=calibrated,
    )


def model_message(model: ModelInfo) -> pb.Model:
    """The model as events and GetServerInfo name it."""
    return pb.Model(
        name=model.name,
        version=model.version,
        labels=model.labels,
        dimensions=model.dimensions,
        digest=model.digest,
        precision=model.precision,
        max_audio_ms=round(ms_of_samples(model.max_samples)),
        calibrated=model.calibrated,
        embedding_size=model.embedding_size,
        fallback=model.fallback,
    )
