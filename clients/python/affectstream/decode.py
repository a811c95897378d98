"""From messages to events. The only place that knows both."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypedDict

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from affectstream import events, values
from affectstream.config import AudioFormat, Channel, Endpointing, Outputs
from affectstream.enums import AffectStatus, CloseReason, SaliencyMethod, Stage, Trigger, known
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import AudioTime


class _Envelope(TypedDict):
    session_id: str
    epoch: int
    sequence: int
    server_time: datetime | None
    channel: int | None
    cursor: bytes
    proto: pb.SessionEvent


def decode(message: pb.SessionEvent) -> events.Event | None:
    """The typed event of a message; None for a kind that this version does not know."""
    kind = message.WhichOneof("event")
    if kind is None:
        return None
    envelope = _Envelope(
        session_id=message.session_id,
        epoch=message.epoch,
        sequence=message.sequence,
        server_time=_datetime(message, "server_time"),
        channel=_number(message, "channel"),
        cursor=message.cursor,
        proto=message,
    )
    return _DECODERS[kind](getattr(message, kind), envelope)


def model_info(message: pb.Model) -> values.ModelInfo:
    """What makes the scores."""
    return values.ModelInfo(
        name=message.name,
        version=message.version,
        labels=tuple(message.labels),
        dimensions=tuple(message.dimensions),
        digest=message.digest,
        precision=message.precision,
        max_audio_ms=message.max_audio_ms,
        calibrated=message.calibrated,
        embedding_size=message.embedding_size,
        fallback=message.fallback,
    )


# HasField's argument is a literal in the stubs; these three take any name of the message's fields.
def _number(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _duration(message: Any, name: str) -> AudioTime | None:
    return AudioTime(getattr(message, name).ToNanoseconds()) if message.HasField(name) else None


def _datetime(message: Any, name: str) -> datetime | None:
    if not message.HasField(name):
        return None
    stamp: Timestamp = getattr(message, name)
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


def _time(message: Duration) -> AudioTime:
    return AudioTime(message.ToNanoseconds())


def _model(message: Any) -> values.ModelInfo | None:
    return model_info(message.model) if message.HasField("model") else None


def _dimensions(message: pb.Dimensions) -> values.Dimensions:
    polar = None
    if message.HasField("polar"):
        polar = values.Polar(
            angle_degrees=message.polar.angle_degrees,
            intensity=message.polar.intensity,
            octant=message.polar.octant,
        )
    return values.Dimensions(
        valence=_number(message, "valence"),
        arousal=_number(message, "arousal"),
        dominance=_number(message, "dominance"),
        polar=polar,
    )


def _emotions(message: pb.AffectEvent | pb.TurnAffect) -> tuple[values.EmotionScore, ...]:
    return _scores(message.emotions)


def _scores(scores: Iterable[pb.EmotionScore]) -> tuple[values.EmotionScore, ...]:
    return tuple(values.EmotionScore(score.label, score.probability) for score in scores)


def _uncertainty(message: Any) -> values.Uncertainty | None:
    if not message.HasField("uncertainty"):
        return None
    part: pb.Uncertainty = message.uncertainty
    return values.Uncertainty(
        entropy=_number(part, "entropy"), margin=_number(part, "margin"), calibrated=part.calibrated
    )


def _guidance(message: Any) -> values.Guidance | None:
    if not message.HasField("guidance"):
        return None
    part: pb.Guidance = message.guidance
    return values.Guidance(
        text=part.text, style_tags=tuple(part.style_tags), rule=part.rule, language_code=part.language_code
    )


def _quality(part: pb.AudioQuality) -> values.Quality:
    return values.Quality(
        speech=_duration(part, "speech_duration"),
        speech_ratio=_number(part, "speech_ratio"),
        snr_db=_number(part, "snr_db"),
        clipped=part.clipped,
        truncated=part.truncated,
        barge_in=part.barge_in,
        clipped_ratio=_number(part, "clipped_ratio"),
    )


def _change(part: pb.BaselineChange) -> values.BaselineChange:
    return values.BaselineChange(
        valence=_number(part, "valence"),
        arousal=_number(part, "arousal"),
        dominance=_number(part, "dominance"),
        utterances=part.utterances,
        valence_step=_number(part, "valence_step"),
        arousal_step=_number(part, "arousal_step"),
        dominance_step=_number(part, "dominance_step"),
    )


def _timing(part: pb.Timing) -> values.Timing:
    return values.Timing(
        hangover_ms=_number(part, "hangover_ms"),
        decision_ms=_number(part, "decision_ms"),
        queue_ms=_number(part, "queue_ms"),
        inference_queue_ms=_number(part, "inference_queue_ms"),
        compute_ms=_number(part, "compute_ms"),
        decide_ms=_number(part, "decide_ms"),
        speculated=part.speculated,
        explain_ms=_number(part, "explain_ms"),
    )


def _session_started(m: pb.SessionStarted, envelope: _Envelope) -> events.SessionStarted:
    return events.SessionStarted(
        **envelope,
        resumed=m.resumed,
        next_sequence=m.next_sequence,
        accepted_until_samples=m.accepted_until_samples,
        time_origin=_datetime(m, "time_origin"),
        audio=AudioFormat.from_proto(m.audio),
        channels=tuple(Channel.from_proto(channel) for channel in m.channels),
        endpointing=Endpointing.from_proto(m.endpointing),
        outputs=Outputs.from_proto(m.outputs),
        limits={limit.name: limit.value for limit in m.limits.limits},
        model=_model(m),
        resume_token=m.resume_token,
        labels=dict(m.labels),
        guidance_policy=m.guidance_policy,
    )


def _progress(m: pb.Progress, envelope: _Envelope) -> events.Progress:
    return events.Progress(
        **envelope,
        received_until_samples=m.received_until_samples,
        final_until_samples=m.final_until_samples,
        empty_chunks=m.empty_chunks,
    )


def _speech_started(m: pb.SpeechStarted, envelope: _Envelope) -> events.SpeechStarted:
    return events.SpeechStarted(
        **envelope,
        utterance_id=m.utterance_id,
        audio_start=_time(m.audio_start),
        speech_start=_duration(m, "speech_start"),
        continues_utterance_id=m.continues_utterance_id,
        barge_in=m.barge_in,
    )


def _speech_ended(m: pb.SpeechEnded, envelope: _Envelope) -> events.SpeechEnded:
    return events.SpeechEnded(
        **envelope,
        utterance_id=m.utterance_id,
        audio_start=_time(m.audio_start),
        audio_end=_time(m.audio_end),
        speech_end=_duration(m, "speech_end"),
        decidable_at=_duration(m, "decidable_at"),
        trigger=known(Trigger, m.trigger),
    )


def _affect(m: pb.AffectEvent, envelope: _Envelope) -> events.AffectEvent:
    return events.AffectEvent(
        **envelope,
        utterance_id=m.utterance_id,
        turn_id=m.turn_id,
        continues_utterance_id=m.continues_utterance_id,
        audio_start=_time(m.audio_start),
        audio_end=_time(m.audio_end),
        stage=known(Stage, m.stage),
        trigger=known(Trigger, m.trigger),
        status=known(AffectStatus, m.status),
        emotions=_emotions(m),
        top_label=m.top_label,
        dimensions=_dimensions(m.dimensions),
        uncertainty=_uncertainty(m),
        quality=_quality(m.quality) if m.HasField("quality") else None,
        change=_change(m.change) if m.HasField("change") else None,
        guidance=_guidance(m),
        cues=tuple(
            values.Cue(
                name=cue.name,
                value=cue.value,
                unit=cue.unit,
                z_score=_number(cue, "z_score"),
                salient_value=_number(cue, "salient_value"),
                other_value=_number(cue, "other_value"),
                salient_z_score=_number(cue, "salient_z_score"),
            )
            for cue in m.cues
        ),
        saliency=tuple(
            values.SalientSpan(
                audio_start=_time(span.audio_start), audio_end=_time(span.audio_end), weight=span.weight
            )
            for span in m.saliency
        ),
        saliency_method=known(SaliencyMethod, m.saliency_method),
        embedding=tuple(m.embedding),
        model=_model(m),
        timing=_timing(m.timing) if m.HasField("timing") else None,
        traceparent=m.traceparent,
        status_detail=m.status_detail,
        text_fused=m.text_fused,
        text_weight=_number(m, "text_weight"),
        user_outputs=tuple(_user_output(output) for output in m.user_outputs),
    )


def _user_output(part: pb.UserOutput) -> values.UserOutput:
    return values.UserOutput(name=part.name, scores=_scores(part.scores), top_label=part.top_label)


def user_output_info(part: pb.UserOutputInfo) -> values.UserOutputInfo:
    """An output that a user taught the server."""
    return values.UserOutputInfo(
        name=part.name,
        labels=tuple(part.labels),
        clips=part.clips,
        cross_validated_uar=_number(part, "cross_validated_uar"),
        digest=part.digest,
    )


def _turn_affect(m: pb.TurnAffect, envelope: _Envelope) -> events.TurnAffect:
    return events.TurnAffect(
        **envelope,
        turn_id=m.turn_id,
        audio_start=_time(m.audio_start),
        audio_end=_time(m.audio_end),
        status=known(AffectStatus, m.status),
        emotions=_emotions(m),
        top_label=m.top_label,
        dimensions=_dimensions(m.dimensions),
        uncertainty=_uncertainty(m),
        utterance_ids=tuple(m.utterance_ids),
        guidance=_guidance(m),
        model=_model(m),
        timing=_timing(m.timing) if m.HasField("timing") else None,
        traceparent=m.traceparent,
    )


def _warning(m: pb.Warning, envelope: _Envelope) -> events.Warning:
    return events.Warning(
        **envelope,
        code=m.code,
        message=m.message,
        field=m.field,
        value=m.value,
        limit=m.limit,
        control_id=m.control_id,
    )


def _control_done(m: pb.ControlDone, envelope: _Envelope) -> events.ControlDone:
    return events.ControlDone(**envelope, control_id=m.control_id, position_samples=m.position_samples)


def _session_closing(m: pb.SessionClosing, envelope: _Envelope) -> events.SessionClosing:
    return events.SessionClosing(**envelope, reason=known(CloseReason, m.reason), grace=_duration(m, "grace"))


def _session_summary(m: pb.SessionSummary, envelope: _Envelope) -> events.SessionSummary:
    return events.SessionSummary(
        **envelope,
        audio=_duration(m, "audio_duration"),
        speech=_duration(m, "speech_duration"),
        utterances=m.utterances,
        finals_by_status=dict(m.finals_by_status),
        states=tuple(
            values.StateShare(
                label=state.label, speech=_duration(state, "speech_duration"), utterances=state.utterances
            )
            for state in m.states
        ),
        mean_dimensions=_dimensions(m.mean_dimensions),
        peak_utterance_id=m.peak_utterance_id,
        abstained_share=_number(m, "abstained_share"),
        empty_chunks=m.empty_chunks,
        speculations_used=m.speculations_used,
        speculations_dropped=m.speculations_dropped,
        trajectory=tuple(
            values.TrajectoryPoint(
                utterance_id=point.utterance_id,
                channel=point.channel,
                audio_end=_time(point.audio_end),
                top_label=point.top_label,
                dimensions=_dimensions(point.dimensions),
            )
            for point in m.trajectory
        ),
        peaks=tuple(
            values.Peak(
                dimension=peak.dimension,
                highest=peak.highest,
                utterance_id=peak.utterance_id,
                value=peak.value,
            )
            for peak in m.peaks
        ),
    )


def _session_closed(m: pb.SessionClosed, envelope: _Envelope) -> events.SessionClosed:
    return events.SessionClosed(
        **envelope, reason=known(CloseReason, m.reason), open_utterance_id=m.open_utterance_id
    )


def _gap(m: pb.Gap, envelope: _Envelope) -> events.Gap:
    return events.Gap(**envelope, audio_start=_time(m.audio_start), audio_end=_time(m.audio_end))


_DECODERS: Final[dict[str, Callable[[Any, _Envelope], events.Event]]] = {
    "session_started": _session_started,
    "progress": _progress,
    "speech_started": _speech_started,
    "speech_ended": _speech_ended,
    "affect": _affect,
    "turn_affect": _turn_affect,
    "warning": _warning,
    "control_done": _control_done,
    "session_closing": _session_closing,
    "session_summary": _session_summary,
    "session_closed": _session_closed,
    "gap": _gap,
}
