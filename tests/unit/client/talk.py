"""Events of a made-up session, for what shows them."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from affectstream.commands.playback import Heard
from affectstream.decode import decode
from affectstream.events import AffectEvent
from affectstream.v1 import affect_pb2 as pb

LABELS = ("neutral", "happy", "sad", "angry")


def duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def heard(message: pb.SessionEvent, lag_ms: float | None = None) -> Heard:
    event = decode(message)
    assert event is not None
    return Heard(event, lag_ms)


def started(dimensions: tuple[str, ...] = ("arousal",)) -> Heard:
    model = pb.Model(name="affect-test", version="1.2.3", labels=LABELS, dimensions=dimensions)
    message = pb.SessionStarted(model=model, resume_token=b"secret-token", session_epoch=1)
    return heard(pb.SessionEvent(session_id="call-7", epoch=1, sequence=1, session_started=message))


def final(
    start_s: float,
    end_s: float,
    top: str = "angry",
    probability: float = 0.7,
    *,
    status: pb.AffectStatus.ValueType = pb.AFFECT_STATUS_OK,
    arousal: float | None = 0.5,
    lag_ms: float | None = None,
    stage: pb.Stage.ValueType = pb.STAGE_FINAL,
) -> Heard:
    message = pb.AffectEvent(
        utterance_id=f"u{start_s}",
        audio_start=duration(start_s),
        audio_end=duration(end_s),
        stage=stage,
        status=status,
        timing=pb.Timing(hangover_ms=256),
    )
    if top:
        rest = (1 - probability) / (len(LABELS) - 1)
        message.top_label = top
        for label in LABELS:
            message.emotions.add(label=label, probability=probability if label == top else rest)
    if arousal is not None:
        message.dimensions.arousal = arousal
    return heard(pb.SessionEvent(session_id="call-7", epoch=1, sequence=2, affect=message), lag_ms)


def closed() -> Heard:
    reason = pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)
    return heard(pb.SessionEvent(session_id="call-7", epoch=1, sequence=9, session_closed=reason))


def affect_events(finals: list[Heard]) -> list[AffectEvent]:
    return [item.event for item in finals if isinstance(item.event, AffectEvent)]
