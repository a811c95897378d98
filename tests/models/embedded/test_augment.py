"""Each effect does what it says, and one generator gives one copy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra `models`")

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models import augment
from tests.models.embedded.helpers import voice

RATE = SAMPLE_RATE_HZ


def tone(hz: float) -> augment.Samples:
    return np.asarray(0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE), dtype=np.float32)


def power_db(wave: augment.Samples) -> float:
    return float(10 * np.log10(np.mean(wave[1000:-1000] ** 2) + 1e-12))


def test_noise_stands_at_the_ratio_asked_for() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, RATE).astype(np.float32)
    for snr_db in (0, 10, 20):
        added = augment.add_noise(tone(440), noise, snr_db=snr_db) - tone(440)
        assert power_db(tone(440)) - power_db(added) == pytest.approx(snr_db, abs=0.1)


def test_silent_noise_adds_nothing() -> None:
    np.testing.assert_array_equal(
        augment.add_noise(tone(440), np.zeros(RATE, np.float32), snr_db=0), tone(440)
    )


def test_speed_changes_length_and_pitch() -> None:
    fast = augment.change_speed(tone(1000), 1.25)
    assert len(fast) == pytest.approx(RATE / 1.25, abs=1)
    peak_hz = np.argmax(np.abs(np.fft.rfft(fast))) * RATE / len(fast)
    assert peak_hz == pytest.approx(1250, abs=3)


def test_telephone_keeps_speech_and_drops_the_rest() -> None:
    assert power_db(augment.telephone(tone(1000))) == pytest.approx(power_db(tone(1000)), abs=1)
    assert power_db(augment.telephone(tone(6000))) < power_db(tone(6000)) - 30
    assert power_db(augment.telephone(tone(60))) < power_db(tone(60)) - 30


def test_telephone_quantises() -> None:
    error = augment.telephone(tone(1000))[2000:-2000] - tone(1000)[2000:-2000]
    assert 0 < np.sqrt(np.mean(error**2)) < 0.05


def test_equaliser_raises_the_octave_it_is_told_to() -> None:
    gains_db = np.array([0, 0, 0, 6.0, 0, 0, 0])
    assert power_db(augment.equalise(tone(1000), gains_db)) == pytest.approx(
        power_db(tone(1000)) + 6, abs=0.2
    )
    assert power_db(augment.equalise(tone(250), gains_db)) == pytest.approx(power_db(tone(250)), abs=0.2)


def test_a_room_rings_after_the_sound() -> None:
    click = np.zeros(RATE, dtype=np.float32)
    click[100] = 1
    rung = augment.reverberate(click, decay_s=0.3, wet=0.5, rng=np.random.default_rng(0))
    assert rung[100] > 0.5
    assert np.mean(rung[200:1000] ** 2) > 10 * np.mean(rung[4000:5000] ** 2)


def test_a_suppressor_takes_the_noise_and_leaves_the_voice() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, RATE).astype(np.float32)
    speech = tone(440) * (np.arange(RATE) > RATE // 2)
    clean = augment.suppress(speech + noise, over=4, share=0.4)
    assert power_db(clean[: RATE // 2]) < power_db(noise) - 15
    assert power_db(clean[RATE // 2 :]) == pytest.approx(power_db(tone(440)), abs=1)


@pytest.mark.parametrize("harm", augment.HARMS)
def test_every_harm_is_seeded_and_changes_the_speech(harm: str) -> None:
    speech = voice(1, 1.0)
    noises = [np.random.default_rng(2).normal(0, 500, RATE).astype(np.int16)]
    once, again, other = (
        augment.spoil(speech, noises, np.random.default_rng(seed), harm=harm) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert len(once) == len(speech)
    assert np.corrcoef(once, speech)[0, 1] < 0.999


def test_an_unknown_harm_is_named() -> None:
    with pytest.raises(ValueError, match="'wind' is none of noise, room"):
        augment.spoil(voice(1, 1.0), [], np.random.default_rng(0), harm="wind")


def test_a_crop_is_no_longer_than_asked() -> None:
    rng = np.random.default_rng(0)
    assert len(augment.crop(tone(440), 0.25, rng)) == RATE // 4
    assert len(augment.crop(tone(440), 9.0, rng)) == RATE


def test_peak_stands_where_it_is_put_and_clips_above() -> None:
    assert np.abs(augment.to_int16(tone(440), peak_db=-6).astype(int)).max() == pytest.approx(16422, abs=20)
    clipped = augment.to_int16(tone(440), peak_db=6)
    assert np.mean(np.abs(clipped.astype(int)) >= 32767) > 0.5


def test_the_same_generator_gives_the_same_copy() -> None:
    speech = voice(1, 1.0)
    noises = [np.random.default_rng(2).normal(0, 500, RATE).astype(np.int16)]
    copies = [augment.augment(speech, noises, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(copies[0], copies[1])
    assert len(copies[0]) != len(copies[2]) or np.any(copies[0] != copies[2])
