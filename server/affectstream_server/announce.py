"""The events of a session that are no scores: what began, what ended, what is in force."""

from __future__ import annotations

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.info import limits_message
from affectstream_server.quotas import Quota
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.settings import Settings
from affectstream_server.stages.decide import model_message
from affectstream_server.stages.receive import StreamConfig, effective_endpointing
from affectstream_server.timeline import duration
from affectstream_server.utterance import Opened, Utterance


def session_started(
    config: StreamConfig, settings: Settings, quota: Quota, model: ModelInfo, *, epoch: int, began_ns: int
) -> pb.SessionEvent:
    """The first event of a stream: every default filled in. ``began_ns``: the clock at position 0."""
    started = pb.SessionStarted(
        resumed=epoch > 1,
        session_epoch=epoch,
        audio=config.format.message(),
        channels=config.channels,
        endpointing=effective_endpointing(config.endpointing.settings),
        outputs=config.effective_outputs(),
        limits=limits_message(settings, quota),
        model=model_message(model),
        labels=config.labels,
    )
    started.endpointing.mode = config.mode
    started.time_origin.FromNanoseconds(began_ns)
    return pb.SessionEvent(session_started=started)


def speech_started(channel: int, opened: Opened) -> pb.SessionEvent:
    """An utterance was declared started."""
    started = pb.SpeechStarted(
        utterance_id=opened.utterance_id,
        audio_start=duration(opened.bounds.audio_start),
        speech_start=duration(opened.bounds.speech_start),
        continues_utterance_id=opened.continues,
        barge_in=opened.barge_in,
    )
    return pb.SessionEvent(channel=channel, speech_started=started)


def speech_ended(utterance: Utterance) -> pb.SessionEvent:
    """The endpoint was declared."""
    bounds = utterance.bounds
    ended = pb.SpeechEnded(
        utterance_id=utterance.utterance_id,
        audio_start=duration(bounds.audio_start),
        audio_end=duration(bounds.audio_end),
        speech_end=duration(bounds.speech_end),
        decidable_at=duration(bounds.decidable_at),
        trigger=pb.Trigger.Value(f"TRIGGER_{bounds.trigger.value}"),
    )
    return pb.SessionEvent(channel=utterance.channel, speech_ended=ended)


def gap(start: int, end: int) -> pb.SessionEvent:
    """Audio is missing. Positions are samples at 16 kHz."""
    return pb.SessionEvent(gap=pb.Gap(audio_start=duration(start), audio_end=duration(end)))


def session_closing(reason: pb.CloseReason.ValueType, grace_s: float) -> pb.SessionEvent:
    """The stream will end."""
    closing = pb.SessionClosing(reason=reason)
    closing.grace.FromMilliseconds(round(max(0.0, grace_s) * 1_000))
    return pb.SessionEvent(session_closing=closing)
