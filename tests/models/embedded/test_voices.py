"""What an audit does to voices, checked on vowels of known pitch and formants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import linalg, signal

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.voices import change_tempo, shift_formants, shift_pitch

FORMANTS_HZ = (700.0, 1220.0, 2600.0)
BANDWIDTHS_HZ = (80.0, 90.0, 120.0)
Samples = npt.NDArray[np.float32]


def vowel(pitch_hz: float, duration_s: float = 1.5, factor: float = 1.0) -> Samples:
    """An /a/: a pulse train through three resonances at `factor` times their usual frequency."""
    periods = np.floor(np.arange(round(duration_s * SAMPLE_RATE_HZ)) * pitch_hz / SAMPLE_RATE_HZ)
    wave = np.diff(periods, prepend=0.0)
    wave = signal.lfilter([1], [1, -0.96], wave)
    for formant_hz, width_hz in zip(FORMANTS_HZ, BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ)
        turn = 2 * np.pi * factor * formant_hz / SAMPLE_RATE_HZ
        wave = signal.lfilter([1], [1, -2 * radius * np.cos(turn), radius**2], wave)
    return np.asarray(0.5 * wave / np.abs(wave).max(), dtype=np.float32)


def pitch_of(wave: Samples, near_hz: float) -> float:
    """The lag at which the wave is most like itself, within a third of an octave of `near_hz`."""
    middle = wave[4000:-4000].astype(np.float64)
    lags = np.arange(round(SAMPLE_RATE_HZ / near_hz / 1.26), round(SAMPLE_RATE_HZ / near_hz * 1.26))
    likeness = [np.mean(middle[lag:] * middle[: len(middle) - lag]) for lag in lags]
    best = int(np.argmax(likeness))
    before, at, after = likeness[best - 1 : best + 2]
    return float(SAMPLE_RATE_HZ / (lags[best] + (before - after) / (2 * (before - 2 * at + after))))


def formants_of(wave: Samples) -> npt.NDArray[np.float64]:
    """The median over frames of the three lowest resonances, by linear prediction."""
    sharpened = signal.lfilter([1, -0.9], [1], wave)[4000:-4000]
    found = []
    for start in range(0, len(sharpened) - 800, 400):
        frame = sharpened[start : start + 800] * np.hamming(800)
        likeness = np.correlate(frame, frame, "full")[799 : 799 + 11]
        roots = np.roots(np.r_[1, -linalg.solve_toeplitz(likeness[:-1], likeness[1:])])
        hz = np.angle(roots) * SAMPLE_RATE_HZ / (2 * np.pi)
        width_hz = -np.log(np.abs(roots)) * SAMPLE_RATE_HZ / np.pi
        sharp = np.sort(hz[(hz > 200) & (width_hz < 500)])
        if len(sharp) >= 3:
            found.append(sharp[:3])
    assert len(found) > 10
    return np.asarray(np.median(found, axis=0))


@pytest.mark.parametrize("pitch_hz", [100.0, 140.0])
@pytest.mark.parametrize("semitones", [-4, -2, 2, 4])
def test_pitch_moves_and_formants_stay(pitch_hz: float, semitones: int) -> None:
    before = vowel(pitch_hz)
    after = shift_pitch(before, semitones)
    wanted_hz = pitch_hz * 2 ** (semitones / 12)
    assert len(after) == len(before)
    assert pitch_of(after, wanted_hz) == pytest.approx(wanted_hz, rel=0.01)
    # Formants show no finer than harmonics stand. Moved with the pitch, the third is 280 Hz off or more.
    np.testing.assert_allclose(formants_of(after), FORMANTS_HZ, rtol=0.05, atol=wanted_hz / 2)


@pytest.mark.parametrize("pitch_hz", [100.0, 140.0])
@pytest.mark.parametrize("factor", [0.85, 0.93, 1.08, 1.18])
def test_formants_move_and_pitch_stays(pitch_hz: float, factor: float) -> None:
    before = vowel(pitch_hz)
    after = shift_formants(before, factor)
    assert len(after) == len(before)
    assert pitch_of(after, pitch_hz) == pytest.approx(pitch_hz, rel=0.01)
    # Linear prediction leans towards harmonics; so it does on the vowel that was spoken like that.
    np.testing.assert_allclose(formants_of(after), formants_of(vowel(pitch_hz, factor=factor)), rtol=0.05)


@pytest.mark.parametrize("factor", [0.75, 0.9, 1.1, 1.25])
def test_tempo_moves_and_the_voice_stays(factor: float) -> None:
    before = vowel(140.0)
    after = change_tempo(before, factor)
    assert len(after) == round(len(before) / factor)
    assert pitch_of(after, 140.0) == pytest.approx(140.0, rel=0.01)
    np.testing.assert_allclose(formants_of(after), formants_of(before), rtol=0.05)
    assert np.abs(after).max() == pytest.approx(np.abs(before).max(), rel=0.2)


def test_what_is_at_one_place_stays_in_order_when_said_faster() -> None:
    low, high = vowel(110.0, 1.0), vowel(160.0, 1.0)
    after = change_tempo(np.concatenate([low, high]), 1.25)
    assert pitch_of(after[: len(after) // 2], 110.0) == pytest.approx(110.0, rel=0.01)
    assert pitch_of(after[len(after) // 2 :], 160.0) == pytest.approx(160.0, rel=0.01)


@pytest.mark.parametrize("change", [shift_pitch, shift_formants, change_tempo])
def test_silence_and_a_click_become_nothing_that_is_not_finite(change) -> None:  # type: ignore[no-untyped-def]
    click = np.zeros(1600, dtype=np.float32)
    click[800] = 1
    for wave in (np.zeros(1600, dtype=np.float32), click):
        assert np.isfinite(change(wave, 1.1)).all()
