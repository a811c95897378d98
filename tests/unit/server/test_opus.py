"""Unpacking Opus: time is kept to the sample, wherever it is cut and whatever is damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affectstream_server.errors import InvalidRequest
from affectstream_server.stages.decode import AudioFormat, Decoder, Encoding
from affectstream_server.stages.libopus import RATES_HZ, packet_samples
from affectstream_server.stages.opus import Corrupt, Hole, Part, unpacker
from tests.support.opus import ogg_opus, packets, pages, parsed, sealed
from tests.support.speech import sample_talk

TALK = sample_talk()[: 5 * 16_000 + 77]
OGG = ogg_opus(TALK)


def unpack(
    chunks: Iterable[bytes],
    rate_hz: int = 16_000,
    *,
    encoding: Encoding = "OGG_OPUS",
    channels: int = 1,
    limit_ms: int | None = 1_000,
) -> list[Part]:
    unpacking = unpacker(AudioFormat(encoding, rate_hz, channels), limit_ms=limit_ms)
    assert unpacking is not None
    parts = [part for chunk in chunks for part in unpacking.unpack(chunk)]
    return parts + list(unpacking.finish())


def pcm(parts: Iterable[Part]) -> bytes:
    return b"".join(part for part in parts if isinstance(part, bytes))


def heard(parts: Iterable[Part], channels: int = 1, channel: int = 0) -> NDArray[np.int16]:
    """What the decoder makes of it, at 16 kHz."""
    decoder = Decoder(AudioFormat("OGG_OPUS", 16_000, channels), channel)
    blocks = [decoder.decode(part) for part in parts if isinstance(part, bytes)]
    return np.concatenate([*blocks, decoder.finish()])


def likeness(a: NDArray[Any], b: NDArray[Any]) -> float:
    shared = min(len(a), len(b))
    return float(np.corrcoef(a[:shared], b[:shared])[0, 1])


def floats(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, np.float32)


def test_ogg_gives_back_the_audio_that_went_in_sample_for_sample() -> None:
    parts = unpack(pages(OGG))
    assert all(isinstance(part, bytes) for part in parts)
    samples = heard(parts)
    assert len(samples) == len(TALK), "pre-skip and end are trimmed"
    assert likeness(samples, TALK) > 0.95


@given(st.integers(1, 700))
@settings(max_examples=25, deadline=None)
def test_where_the_stream_is_cut_changes_nothing(size: int) -> None:
    chunks = [OGG[start : start + size] for start in range(0, len(OGG), size)]
    assert pcm(unpack(chunks)) == pcm(unpack(pages(OGG)))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_positions_count_at_any_declared_rate(rate_hz: int) -> None:
    form = AudioFormat("OGG_OPUS", rate_hz, 1)
    size = len(pcm(unpack(pages(OGG), rate_hz)))
    assert size % form.frame_bytes == 0
    assert size // form.frame_bytes == pytest.approx(len(TALK) * rate_hz / 16_000, abs=1)


def test_each_channel_is_its_own() -> None:
    quiet = np.zeros_like(TALK)
    parts = unpack(pages(ogg_opus(np.stack([quiet, TALK], axis=1))), channels=2, limit_ms=None)
    assert np.abs(heard(parts, 2, 0)).max() < 400
    assert likeness(heard(parts, 2, 1), TALK) > 0.95


def test_a_damaged_page_becomes_silence_and_one_warning() -> None:
    whole = pages(OGG)
    torn = bytearray(whole[4])
    torn[200] ^= 0xFF
    parts = unpack([*whole[:4], bytes(torn), *whole[5:]])
    assert [part for part in parts if not isinstance(part, bytes)] == [
        Corrupt("a damaged or missing Ogg page")
    ]
    expected, got = floats(pcm(unpack(whole))), floats(pcm(parts))
    assert len(got) == len(expected), "time does not shift"
    start = parsed(whole[3]).granule - 312  # less the pre-skip
    end = parsed(whole[4]).granule - 312
    assert np.array_equal(got[:start], expected[:start])
    assert not got[start:end].any()
    assert likeness(got[end + 4_800 :], expected[end + 4_800 :]) > 0.99


def test_what_never_came_is_a_hole_where_it_is_long() -> None:
    whole = pages(OGG)
    parts = unpack([*whole[:3], *whole[6:]])
    kinds = [type(part) for part in parts if not isinstance(part, bytes)]
    assert kinds == [Corrupt, Hole]
    lost = (parsed(whole[5]).granule - parsed(whole[2]).granule) // 3
    assert [part.frames for part in parts if isinstance(part, Hole)] == [lost]
    frame_bytes = AudioFormat("OGG_OPUS", 16_000, 1).frame_bytes
    assert len(pcm(parts)) // frame_bytes + lost == len(pcm(unpack(whole))) // frame_bytes


def test_junk_between_pages_is_passed_over_and_told() -> None:
    whole = pages(OGG)
    parts = unpack([*whole[:4], b"OggS and no page after it" * 9, *whole[4:]])
    assert pcm(parts) == pcm(unpack(whole))
    assert sum(isinstance(part, Corrupt) for part in parts) == 1


def test_pages_of_another_stream_beside_it_are_passed_over() -> None:
    whole = pages(OGG)
    other = sealed(whole[3][:14] + struct.pack("<I", 77) + whole[3][18:])
    assert unpack([*whole[:3], other, *whole[3:]]) == unpack(whole)


def test_a_second_stream_may_follow_the_first() -> None:
    parts = unpack([*pages(OGG), *pages(OGG)])
    assert not any(isinstance(part, Corrupt | Hole) for part in parts)
    assert len(pcm(parts)) == 2 * len(pcm(unpack(pages(OGG))))


def test_a_stream_that_ends_within_a_page_says_so() -> None:
    cut = pages(OGG)
    parts = unpack([*cut[:-1], cut[-1][:-100]])
    assert parts[-1] == Corrupt("the stream ends within an Ogg page")
    assert parts[:-1] == unpack(cut)[: len(parts) - 1]


def test_a_position_hours_ahead_is_not_believed() -> None:
    whole = pages(OGG)
    ahead = sealed(whole[4][:6] + struct.pack("<q", 1 << 60) + whole[4][14:])
    parts = unpack([*whole[:4], ahead, *whole[5:]])
    assert not any(isinstance(part, Hole) for part in parts)
    assert len(pcm(parts)) <= len(pcm(unpack(whole)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"RIFF, which is no Ogg", id="another format"),
        pytest.param(OGG[:40], id="ends within the head"),
        pytest.param(pages(OGG)[2], id="no head"),
        pytest.param(b"".join(pages(OGG)[1:]), id="begins after the head"),
    ],
)
def test_what_is_no_ogg_with_opus_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        unpack([data], limit_ms=None)
    assert caught.value.reason == "NOT_OPUS"


def test_channels_must_be_those_of_the_stream() -> None:
    with pytest.raises(InvalidRequest) as caught:
        unpack([OGG], channels=2, limit_ms=None)
    assert (caught.value.field, caught.value.value) == ("config.audio.channel_count", "2")
    assert caught.value.limit.startswith("1,")


def test_more_than_a_second_in_a_chunk_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        unpack([OGG])
    assert caught.value.reason == "CHUNK_TOO_LONG"


@pytest.mark.parametrize("frame_ms", [10, 20, 60])
def test_packets_give_back_the_audio(frame_ms: int) -> None:
    made = packets(TALK, frame_ms=frame_ms)
    assert {packet_samples(packet) for packet in made} == {frame_ms * 48}
    parts = unpack(made, encoding="OPUS_PACKETS")
    samples = heard(parts)
    assert len(samples) == len(made) * frame_ms * 16
    delay = 104  # 6.5 ms: the encoder's look-ahead, which only Ogg's pre-skip takes off
    assert likeness(samples[delay:], TALK) > 0.95


def test_a_damaged_packet_becomes_as_much_silence_and_a_run_of_them_one_warning() -> None:
    made = packets(TALK)
    damaged = [*made[:50], b"\xff\xff\xff", b"\xff\xff\xff", *made[52:]]
    parts = unpack(damaged, encoding="OPUS_PACKETS")
    assert [place for place, part in enumerate(parts) if isinstance(part, Corrupt)] == [50]
    got, expected = floats(pcm(parts)), floats(pcm(unpack(made, encoding="OPUS_PACKETS")))
    assert len(got) == len(expected)
    assert not got[50 * 960 : 52 * 960].any()
    assert np.array_equal(got[: 50 * 960], expected[: 50 * 960])
    assert likeness(got[60 * 960 :], expected[60 * 960 :]) > 0.99


@pytest.mark.fault("garbage")
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_audio_or_a_refusal(chunks: list[bytes]) -> None:
    made = packets(TALK[:1_600])
    for part in unpack([made[0], *chunks], encoding="OPUS_PACKETS"):
        if isinstance(part, bytes):
            assert np.isfinite(floats(part)).all()
            assert len(part) <= 48_000 * 4


@given(st.binary(max_size=400), st.integers(0, 6), st.integers(0, 3_000))
@settings(max_examples=60, deadline=None)
def test_any_damage_to_ogg_keeps_the_stream_and_its_length(junk: bytes, page: int, at: int) -> None:
    whole = pages(OGG)
    torn = [*whole]
    hit = 2 + page % (len(whole) - 2)
    torn[hit] = torn[hit][:at] + junk + torn[hit][at + len(junk) :]
    parts = unpack(torn)
    rate = AudioFormat("OGG_OPUS", 16_000, 1)
    frames = len(pcm(parts)) // rate.frame_bytes + sum(p.frames for p in parts if isinstance(p, Hole))
    if hit < len(whole) - 1:
        assert frames == pytest.approx(len(TALK), abs=1)
    else:
        assert frames <= len(TALK)


@pytest.mark.parametrize(
    ("packet", "samples"),
    [
        (b"", 0),
        (b"\x03", 0),
        (b"\x00", 480),
        (b"\x18", 2_880),
        (b"\x63\x02", 960),
        (b"\x80", 120),
        (b"\xff\x3f", 0),
    ],
)
def test_the_length_of_a_packet_is_in_its_first_bytes(packet: bytes, samples: int) -> None:
    assert packet_samples(packet) == samples


def test_a_page_knows_its_packets() -> None:
    page = parsed(pages(OGG)[2])
    assert len(page.packets) == 49
    assert page.granule == 47_040
