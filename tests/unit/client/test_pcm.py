"""Samples to bytes, and refusals before anything is sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from affectstream.config import AudioFormat
from affectstream.contract import LIMITS
from affectstream.enums import AudioEncoding
from affectstream.errors import InvalidRequest
from affectstream.pcm import chunks, to_bytes
from affectstream.v1 import affect_pb2 as pb

MONO = AudioFormat()
FLOAT_STEREO = AudioFormat(encoding=AudioEncoding.FLOAT32, sample_rate_hz=44_100, channel_count=2)


def test_bytes_pass_as_they_are() -> None:
    assert to_bytes(b"\x01\x02", MONO) == b"\x01\x02"
    assert to_bytes(memoryview(b"\x01\x02"), MONO) == b"\x01\x02"
    assert to_bytes(b"", MONO) == b""


def test_arrays_become_little_endian_and_interleaved() -> None:
    assert to_bytes(np.array([1, -2], np.int16), MONO) == b"\x01\x00\xfe\xff"
    assert to_bytes(np.array([1, -2], ">i2"), MONO) == b"\x01\x00\xfe\xff"
    stereo = np.array([[0.5, -1.0]], np.float64)
    assert to_bytes(stereo, FLOAT_STEREO) == np.array([0.5, -1.0], "<f4").tobytes()
    law = AudioFormat(encoding=AudioEncoding.MULAW)
    assert to_bytes(np.array([255, 0], np.uint8), law) == b"\xff\x00"


def test_a_strided_array_is_sent_in_its_own_order() -> None:
    both = np.arange(6, dtype=np.int16).reshape(3, 2)
    assert to_bytes(both[:, 1], MONO) == np.array([1, 3, 5], "<i2").tobytes()


@pytest.mark.parametrize(
    ("pcm", "audio", "reason", "value"),
    [
        (b"\x00\x00\x00", MONO, "PARTIAL_FRAME", "3"),
        (bytes(12), FLOAT_STEREO, "PARTIAL_FRAME", "12"),
        (np.zeros(4, np.float32), MONO, "ARRAY_TYPE", "float32"),
        (np.zeros(4, np.int32), MONO, "ARRAY_TYPE", "int32"),
        (np.zeros(4, np.int16), FLOAT_STEREO, "ARRAY_TYPE", "int16"),
        (np.zeros(4, np.uint8), AudioFormat(encoding=AudioEncoding.OGG_OPUS), "ARRAY_TYPE", "uint8"),
        (np.zeros((4, 3), np.float32), FLOAT_STEREO, "ARRAY_SHAPE", "(4, 3)"),
        (np.zeros((2, 2, 2), np.float32), FLOAT_STEREO, "ARRAY_SHAPE", "(2, 2, 2)"),
    ],
)
def test_a_refusal_names_field_value_and_limit(pcm: Any, audio: AudioFormat, reason: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        to_bytes(pcm, audio)
    assert (refused.value.field, refused.value.value, refused.value.reason) == ("audio.data", value, reason)
    assert refused.value.limit


def test_a_list_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="list"):
        to_bytes([1, 2], MONO)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "audio",
    [
        MONO,
        FLOAT_STEREO,
        AudioFormat(encoding=AudioEncoding.FLOAT32, sample_rate_hz=48_000, channel_count=8),
        AudioFormat(encoding=AudioEncoding.ALAW, sample_rate_hz=8_000),
    ],
    ids=str,
)
def test_pieces_are_whole_frames_within_both_limits_and_lose_nothing(audio: AudioFormat) -> None:
    frame_bytes = audio.frame_bytes
    assert frame_bytes is not None
    data = bytes(range(256)) * (frame_bytes * 1_000)
    pieces = list(chunks(data, audio))
    assert b"".join(pieces) == data
    assert len(pieces) > 1
    for piece in pieces:
        assert len(piece) % frame_bytes == 0
        assert len(piece) // frame_bytes <= audio.sample_rate_hz * LIMITS.chunk_ms // 1000
        message = pb.StreamAffectRequest(audio=pb.AudioChunk(data=piece))
        assert message.ByteSize() <= LIMITS.message_bytes


def test_compressed_audio_is_not_cut() -> None:
    packet = bytes(1_000)
    assert list(chunks(packet, AudioFormat(encoding=AudioEncoding.OPUS_PACKETS))) == [packet]
