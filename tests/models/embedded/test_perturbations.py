"""Codecs, bands, levels and clipping do what their names say."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.perturbations import clip, has_opus, mu_law, opus, perturbations
from tests.models.embedded.helpers import Waveform, voice


@pytest.fixture(scope="module")
def noise() -> Waveform:
    return np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE_HZ).astype(np.int16)


def power_db(wave: Waveform, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave.astype(float))) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)
    return float(10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].sum() + 1e-9))


def test_every_perturbation_has_its_name_and_changes_a_voice(noise: Waveform) -> None:
    made = perturbations([noise])
    names = [one.name for one in made]
    assert len(set(names)) == len(names)
    for said in (
        "pitch +4 semitones",
        "formants 0.85×",
        "speed 1.25×",
        "noise 0 dB",
        "level -40 dB",
        "clipping 5%",
    ):
        assert said in names
    clean = voice(1, 1.0)
    for one in made:
        heard = one.apply(clean, 0)
        assert heard.dtype == np.int16
        np.testing.assert_array_equal(heard, one.apply(clean, 0))
        assert len(heard) != len(clean) or (heard != clean).any(), one.name


def test_without_noises_there_is_no_noise() -> None:
    assert not [one for one in perturbations([]) if one.kind == "noise"]


@pytest.mark.parametrize(("name", "gone_hz"), [("low-pass 2000 Hz", 3000), ("low-pass 3400 Hz", 5000)])
def test_a_low_pass_takes_what_is_above(name: str, gone_hz: float, noise: Waveform) -> None:
    one = next(one for one in perturbations([]) if one.name == name)
    heard = one.apply(noise, 0)
    assert power_db(heard, gone_hz, 8000) < power_db(noise, gone_hz, 8000) - 20
    assert power_db(heard, 100, 1000) == pytest.approx(power_db(noise, 100, 1000), abs=0.5)


def test_mu_law_leaves_the_voice_and_half_the_band(noise: Waveform) -> None:
    heard = np.asarray(mu_law(noise.astype(np.float32) / 32768) * 32768, dtype=np.int16)
    assert len(heard) == len(noise)
    assert power_db(heard, 4300, 8000) < power_db(noise, 4300, 8000) - 30
    assert power_db(heard, 300, 3400) == pytest.approx(power_db(noise, 300, 3400), abs=0.5)


@pytest.mark.skipif(not has_opus(), reason="this libsndfile writes no Opus")
def test_fewer_bits_of_opus_are_further_from_the_voice() -> None:
    clean = voice(1, 2.0).astype(np.float32) / 32768
    errors = [float(np.mean((opus(clean, kbps=kbps) - clean) ** 2)) for kbps in (24, 12, 6)]
    assert 0 < errors[0] < errors[1] < errors[2]


@pytest.mark.skipif(not has_opus(), reason="this libsndfile writes no Opus")
def test_opus_has_about_the_bits_it_says() -> None:
    file = io.BytesIO()
    clean = voice(1, 10.0).astype(np.float32) / 32768
    soundfile.write(file, clean, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=1 - 18 / 250)
    assert len(file.getvalue()) * 8 / 10 / 1000 == pytest.approx(24, rel=0.3)


def test_clipping_cuts_the_share_it_says(noise: Waveform) -> None:
    clipped = clip(noise.astype(np.float32) / 32768, share=0.05)
    assert np.mean(np.abs(clipped) >= 1) == pytest.approx(0.05, abs=0.002)
    assert not clip(np.zeros(10, np.float32), share=0.05).any()


def test_levels_are_kept_and_not_scaled_away() -> None:
    clean = voice(1, 1.0)
    made = {one.name: one for one in perturbations([])}
    softer = made["level -20 dB"].apply(clean, 0)
    assert np.abs(softer).max() == pytest.approx(np.abs(clean).max() / 10, abs=1)
