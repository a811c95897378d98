"""What is asked for reaches the wire as it was meant."""

from __future__ import annotations

import pytest

from affectstream.channel import channel_options
from affectstream.config import AudioFormat, Channel, Endpointing, Outputs, StreamConfig
from affectstream.enums import AudioEncoding, ConsentBasis, EndpointingMode, HangoverPolicy, SubjectRole
from affectstream.v1 import affect_pb2 as pb


def test_defaults_leave_everything_to_the_server() -> None:
    message = StreamConfig().to_proto()
    assert message.audio.encoding == pb.AUDIO_ENCODING_LINEAR16
    assert (message.audio.sample_rate_hz, message.audio.channel_count) == (16_000, 1)
    assert not message.endpointing.ListFields()
    assert not message.outputs.ListFields()
    assert not message.channels


def test_zero_is_sent_and_none_is_not() -> None:
    message = Endpointing(pre_roll_ms=0, hangover_ms=400).to_proto()
    assert message.HasField("pre_roll_ms")
    assert not message.HasField("post_roll_ms")
    assert message.hangover_ms == 400


@pytest.mark.parametrize(
    "settings",
    [
        Endpointing(),
        Endpointing(mode=EndpointingMode.MIXED, hangover_policy=HangoverPolicy.FIXED, speech_threshold=0.5),
        Endpointing(min_speech_ms=0, stall_ms=500, max_utterance_ms=30_000),
    ],
)
def test_endpointing_survives_the_wire(settings: Endpointing) -> None:
    assert Endpointing.from_proto(settings.to_proto()) == settings


def test_outputs_survive_the_wire() -> None:
    settings = Outputs(provisional_interval_ms=500, embedding=True, progress_interval_ms=None)
    assert Outputs.from_proto(settings.to_proto()) == settings


def test_channels_and_the_rest_are_carried() -> None:
    config = StreamConfig(
        audio=AudioFormat(encoding=AudioEncoding.FLOAT32, sample_rate_hz=44_100, channel_count=2),
        channels=(
            Channel(index=0, participant_id="c-1", subject_role=SubjectRole.CUSTOMER),
            Channel(index=1, analyze=False),
        ),
        session_id="call-7",
        language_code="de-DE",
        consent_basis=ConsentBasis.CONTRACT,
        labels={"queue": "billing"},
        model="affect-embedded",
    )
    message = config.to_proto()
    assert [(c.index, c.analyze) for c in message.channels] == [(0, True), (1, False)]
    assert tuple(Channel.from_proto(c) for c in message.channels) == config.channels
    assert message.consent_basis == pb.CONSENT_BASIS_CONTRACT
    assert (message.session_id, message.language_code, message.model) == (
        "call-7",
        "de-DE",
        "affect-embedded",
    )
    assert dict(message.labels) == {"queue": "billing"}


def test_frame_bytes() -> None:
    assert AudioFormat(encoding=AudioEncoding.FLOAT32, channel_count=3).frame_bytes == 12
    assert AudioFormat(encoding=AudioEncoding.OGG_OPUS).frame_bytes is None
    assert AudioFormat(encoding=99).frame_bytes is None


def test_an_option_given_by_the_caller_wins() -> None:
    options = dict(channel_options((("grpc.keepalive_time_ms", 60_000), ("grpc.primary_user_agent", "x"))))
    assert options["grpc.keepalive_time_ms"] == 60_000
    assert options["grpc.primary_user_agent"] == "x"
    assert options["grpc.http2.ping_timeout_ms"] == 5_000
