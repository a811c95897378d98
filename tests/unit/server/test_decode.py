"""Decoding: every format gives the samples it stands for, wherever the chunks are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from affectstream_server.errors import InvalidRequest
from affectstream_server.stages.decode import AudioFormat, Decoder, Encoding
from affectstream_server.stages.quality import clipped_ratio
from tests.support.speech import tone


def decoded(
    encoding: Encoding, rate_hz: int, data: bytes, *, channels: int = 1, chunk: int = 0
) -> NDArray[np.int16]:
    form = AudioFormat(encoding, rate_hz, channels)
    decoder = Decoder(form, channels - 1)
    step = chunk * form.frame_bytes or max(1, rate_hz // 50) * form.frame_bytes
    parts = [decoder.decode(data[i : i + step]) for i in range(0, len(data), step)]
    return np.concatenate([*parts, decoder.finish()])


# Values of ITU-T G.711: code → 16-bit sample, at both signs, the ends and around a segment's edge.
MULAW = {0x00: -32_124, 0x80: 32_124, 0x7F: 0, 0xFF: 0, 0xFE: 8, 0x7E: -8, 0xEF: 132, 0x8F: 16_764}
ALAW = {0xD5: 8, 0x55: -8, 0xAA: 32_256, 0x2A: -32_256, 0xD4: 24, 0xC5: 264, 0x80: 5_504}


@pytest.mark.parametrize(("encoding", "values"), [("MULAW", MULAW), ("ALAW", ALAW)])
def test_g711_codes_stand_for_their_values(encoding: Encoding, values: dict[int, int]) -> None:
    got = decoded(encoding, 16_000, bytes(values))
    assert dict(zip(values, got.tolist(), strict=True)) == values


def test_linear16_at_16_khz_is_taken_as_it_is() -> None:
    samples = (tone(0.1) * 32_767).astype("<i2")
    np.testing.assert_array_equal(decoded("LINEAR16", 16_000, samples.tobytes()), samples)


def test_the_chosen_channel_is_the_one_that_is_heard() -> None:
    left, right = np.zeros(800, "<i2"), np.arange(800, dtype="<i2")
    stereo = np.stack([left, right], axis=1).tobytes()
    np.testing.assert_array_equal(decoded("LINEAR16", 16_000, stereo, channels=2), right)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("encoding", ["LINEAR16", "FLOAT32"])
def test_every_rate_keeps_time_and_level(encoding: Encoding, rate_hz: int) -> None:
    wave = tone(1.0, rate_hz)
    data = wave.tobytes() if encoding == "FLOAT32" else (wave * 32_767).astype("<i2").tobytes()
    got = decoded(encoding, rate_hz, data)
    assert abs(len(got) - 16_000) <= 1
    expected = tone(1.0) * 32_767
    middle = slice(2_000, 14_000)
    delays = [np.corrcoef(got[2_000 + d : 14_000 + d], expected[middle])[0, 1] for d in range(-8, 9)]
    assert max(delays) > 0.999
    assert abs(int(np.argmax(delays)) - 8) <= 1, "time is kept to a sixteenth of a millisecond"
    assert np.abs(got[middle]).max() == pytest.approx(np.abs(expected[middle]).max(), rel=0.02)


def test_upsampling_from_the_telephone_holds_back_at_most_30_ms() -> None:
    decoder = Decoder(AudioFormat("MULAW", 8_000, 1), 0)
    given_samples = sum(len(decoder.decode(bytes(160))) for _ in range(50))
    assert 16_000 - given_samples <= 16 * 30


@given(cuts=st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_where_chunks_are_cut_changes_nothing(cuts: list[int]) -> None:
    data = (tone(0.4, 8_000) * 32_767).astype("<i2").tobytes()
    whole = decoded("LINEAR16", 8_000, data)
    decoder = Decoder(AudioFormat("LINEAR16", 8_000, 1), 0)
    parts, place = [], 0
    for cut in cuts:
        parts.append(decoder.decode(data[place : place + 2 * cut]))
        place += 2 * cut
    while place < len(data):
        parts.append(decoder.decode(data[place : place + 16_000]))
        place += 16_000
    got = np.concatenate([*parts, decoder.finish()])
    assert len(got) == len(whole)
    assert np.abs(got.astype(int) - whole.astype(int)).max() <= 1


@pytest.mark.fault("wrong audio")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_number_that_is_none_passes(bad: float) -> None:
    wave = np.zeros(320, "<f4")
    wave[5] = bad
    with pytest.raises(InvalidRequest) as caught:
        Decoder(AudioFormat("FLOAT32", 48_000, 1), 0).decode(wave.tobytes())
    assert caught.value.reason == "NOT_FINITE"
    assert "sample 5" in caught.value.value


def test_a_bad_value_on_a_channel_nobody_hears_is_no_error() -> None:
    stereo = np.zeros((320, 2), "<f4")
    stereo[:, 0] = np.nan
    assert not Decoder(AudioFormat("FLOAT32", 16_000, 2), 1).decode(stereo.tobytes()).any()


def test_what_lies_beyond_full_scale_is_cut_to_it() -> None:
    samples = Decoder(AudioFormat("FLOAT32", 16_000, 1), 0).decode(
        np.array([2.0, -7.0, 0.1], "<f4").tobytes()
    )
    assert samples.tolist()[:2] == [32_767, -32_768]
    assert clipped_ratio(samples) == pytest.approx(2 / 3)
