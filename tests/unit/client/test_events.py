"""Messages become events, with nothing lost and nothing made up."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from affectstream import events
from affectstream.decode import decode
from affectstream.enums import AffectStatus, AudioEncoding, Stage, Trigger
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import BaselineChange, Guidance

KINDS = [field.name for field in pb.SessionEvent.DESCRIPTOR.oneofs_by_name["event"].fields]


def fill(message: Message) -> None:
    """Set every field of a message to something that is not its default."""
    described: Any = message.DESCRIPTOR.fields
    for number, field in enumerate(described, start=1):
        name = field.name
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = (
                7 if field.message_type.fields_by_name["value"].type != FieldDescriptor.TYPE_STRING else "v"
            )
            getattr(message, name)["key"] = value
        elif field.message_type is not None:
            part = getattr(message, name)
            fill(part.add() if field.is_repeated else part)
        else:
            value = plain(field, number)
            if field.is_repeated:
                getattr(message, name).append(value)
            else:
                setattr(message, name, value)


def plain(field: FieldDescriptor, number: int) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"text {number}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"bytes"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.type in {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}:
        return number / 8
    return 1 if field.type == FieldDescriptor.TYPE_ENUM else number


def event(kind: str, **parts: Any) -> pb.SessionEvent:
    message = pb.SessionEvent(session_id="s", epoch=1, sequence=3)
    part = getattr(message, kind)
    part.SetInParent()
    for name, value in parts.items():
        target = getattr(part, name)
        target.CopyFrom(value) if isinstance(value, Message) else setattr(part, name, value)
    return message


def affect(message: pb.AffectEvent) -> events.AffectEvent:
    decoded = decode(pb.SessionEvent(sequence=1, affect=message))
    assert isinstance(decoded, events.AffectEvent)
    return decoded


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_message_leaves_no_field_empty(kind: str) -> None:
    message = pb.SessionEvent(session_id="s", epoch=2, sequence=9, channel=0, cursor=b"c")
    message.server_time.FromNanoseconds(1_700_000_000_123_456_789)
    fill(getattr(message, kind))
    decoded = decode(message)
    assert type(decoded).__name__ == ("AffectEvent" if kind == "affect" else kind.title().replace("_", ""))
    assert decoded is not None
    for item in fields(decoded):
        value = getattr(decoded, item.name)
        assert value not in (None, "", b"", (), {}), item.name
    assert decoded.channel == 0
    assert decoded.server_time is not None
    assert decoded.server_time.microsecond == 123_456
    assert decoded.proto is message


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_message_is_read_too(kind: str) -> None:
    decoded = decode(event(kind))
    assert decoded is not None
    assert (decoded.server_time, decoded.channel) == (None, None)


def test_an_unknown_kind_is_skipped() -> None:
    newer = pb.SessionEvent(session_id="s", sequence=5).SerializeToString() + b"\xfa\x07\x00"  # field 127
    assert decode(pb.SessionEvent.FromString(newer)) is None


def test_zero_is_a_value_and_absent_is_none() -> None:
    zero = affect(pb.AffectEvent(dimensions=pb.Dimensions(valence=0.0)))
    assert zero.dimensions.valence == 0.0
    assert zero.dimensions.arousal is None
    bare = affect(pb.AffectEvent())
    assert (bare.uncertainty, bare.quality, bare.timing, bare.guidance, bare.model) == (None,) * 5
    assert bare.top_probability is None


def test_unknown_enum_values_stay_integers() -> None:
    decoded = affect(pb.AffectEvent(status=pb.AffectStatus.ValueType(99), trigger=pb.Trigger.ValueType(98)))
    assert (decoded.status, decoded.trigger) == (99, 98)
    assert decoded.status != AffectStatus.OK
    assert not decoded.is_final


def test_positions_are_exact_and_in_seconds() -> None:
    decoded = affect(
        pb.AffectEvent(
            audio_start=Duration(seconds=1, nanos=1), audio_end=Duration(seconds=3), stage=pb.STAGE_FINAL
        )
    )
    assert decoded.audio_start.ns == 1_000_000_001
    assert decoded.audio_start.seconds == pytest.approx(1.000000001, abs=1e-12)
    assert decoded.duration.ns == 1_999_999_999
    assert decoded.stage is Stage.FINAL
    assert decoded.is_final


def test_emotions_keep_their_order_and_the_top_its_probability() -> None:
    scores = [
        pb.EmotionScore(label="neutral", probability=0.25),
        pb.EmotionScore(label="sad", probability=0.75),
    ]
    decoded = affect(pb.AffectEvent(emotions=scores, top_label="sad"))
    assert [score.label for score in decoded.emotions] == ["neutral", "sad"]
    assert decoded.top_probability == 0.75


def test_settings_in_force_are_typed() -> None:
    started = pb.SessionStarted(
        audio=pb.AudioFormat(encoding=pb.AUDIO_ENCODING_MULAW, sample_rate_hz=8000),
        endpointing=pb.EndpointingConfig(pre_roll_ms=0, hangover_ms=256),
        limits=pb.Limits(limits=[pb.Limit(name="chunk_ms", value=1000)]),
    )
    decoded = decode(pb.SessionEvent(session_started=started))
    assert isinstance(decoded, events.SessionStarted)
    assert decoded.audio.encoding is AudioEncoding.MULAW
    assert decoded.audio.channel_count == 1, "0 on the wire means 1"
    assert (decoded.endpointing.pre_roll_ms, decoded.endpointing.post_roll_ms) == (0, None)
    assert decoded.limits == {"chunk_ms": 1000}


def test_events_are_frozen_and_secrets_are_not_in_their_repr() -> None:
    decoded = decode(event("session_started", resume_token=b"secret-token"))
    assert isinstance(decoded, events.SessionStarted)
    assert "secret" not in repr(decoded)
    with pytest.raises(AttributeError):
        decoded.resumed = True  # type: ignore[misc]


def test_a_trigger_is_named() -> None:
    decoded = decode(event("speech_ended", utterance_id="u", trigger=pb.TRIGGER_AUDIO_STALLED))
    assert isinstance(decoded, events.SpeechEnded)
    assert decoded.trigger is Trigger.AUDIO_STALLED
    assert decoded.decidable_at is None


def test_what_is_relative_to_the_speaker_and_the_policy_is_read() -> None:
    change = pb.BaselineChange(arousal=2.5, arousal_step=0.0, utterances=7)
    guidance = pb.Guidance(text="Be brief.", style_tags=["brief"], rule="r", language_code="de")
    quality = pb.AudioQuality(clipped_ratio=0.0)
    decoded = affect(pb.AffectEvent(change=change, guidance=guidance, quality=quality))
    assert decoded.change == BaselineChange(
        valence=None, arousal=2.5, dominance=None, utterances=7, arousal_step=0.0
    )
    assert decoded.guidance == Guidance(text="Be brief.", style_tags=("brief",), rule="r", language_code="de")
    assert decoded.quality is not None
    assert decoded.quality.clipped_ratio == 0.0


def test_a_summary_has_its_way_and_its_peaks() -> None:
    point = pb.TrajectoryPoint(utterance_id="u", channel=1, top_label="sad", audio_end=Duration(seconds=2))
    point.dimensions.arousal = 0.25
    peak = pb.Peak(dimension="arousal", highest=True, utterance_id="u", value=0.25)
    decoded = decode(pb.SessionEvent(session_summary=pb.SessionSummary(trajectory=[point], peaks=[peak])))
    assert isinstance(decoded, events.SessionSummary)
    (at,) = decoded.trajectory
    assert (at.utterance_id, at.channel, at.audio_end.seconds, at.dimensions.arousal) == ("u", 1, 2.0, 0.25)
    assert [(p.dimension, p.highest, p.value) for p in decoded.peaks] == [("arousal", True, 0.25)]
