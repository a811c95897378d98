"""Cues of made voices: what is measured, and that what cannot be measured is not there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream_server.cues.catalogue import CUES, measure
from affectstream_server.cues.speech import Speech
from quality.clips import to_pcm
from quality.voices import Made, Voice, make

SECOND = 16_000


@cache
def made(voice: Voice) -> Made:
    return make(voice, np.random.default_rng(0))


def cues_of(voice: Voice, noise_db: float = 50) -> dict[str, float]:
    """With white noise so far below the voice."""
    wave = made(voice).wave
    noise = np.random.default_rng(1).normal(0, 10 ** ((voice.level_db - noise_db) / 20), len(wave))
    return measure(Speech(to_pcm(wave + noise.astype(np.float32))))


@pytest.mark.parametrize("hz", [85, 120, 180, 260, 380, 480])
@pytest.mark.parametrize("noise_db", [50, 15])
def test_pitch_is_neither_an_octave_off_nor_moved_by_noise(hz: float, noise_db: float) -> None:
    voice = Voice(hz=hz)
    assert cues_of(voice, noise_db)["pitch_median"] == pytest.approx(
        made(voice).truth["pitch_median"], rel=0.03
    )


def test_a_lively_voice_has_the_wider_range() -> None:
    flat, lively = (cues_of(Voice(swing_semitones=swing)) for swing in (0.5, 5))
    assert flat["pitch_range"] == pytest.approx(0.95, abs=0.3)
    assert lively["pitch_range"] == pytest.approx(9.5, abs=0.5)


def test_twice_the_amplitude_is_6_db_more_and_nothing_else() -> None:
    soft, loud = (cues_of(Voice(level_db=level)) for level in (-32, -26))
    assert loud["energy_mean"] - soft["energy_mean"] == pytest.approx(6, abs=0.1)
    for name in ("pitch_median", "energy_over_noise", "spectral_tilt", "hnr"):
        assert loud[name] == pytest.approx(soft[name], rel=0.02, abs=0.1)


def test_a_quieter_room_makes_the_voice_stand_out_further() -> None:
    near, far = (cues_of(Voice(), noise_db)["energy_over_noise"] for noise_db in (30, 20))
    assert near - far == pytest.approx(10, abs=1)


@pytest.mark.parametrize("syllables_hz", [2.5, 4, 6])
def test_syllables_are_counted(syllables_hz: float) -> None:
    voice = Voice(syllables_hz=syllables_hz, seconds=4)
    assert cues_of(voice)["speaking_rate"] == pytest.approx(syllables_hz, rel=0.1)


def test_what_is_silent_after_the_last_syllable_is_no_soft_part_and_no_pause() -> None:
    voice = Voice(syllables_hz=2.3)  # 6.9 in 3 s: six, and 0.4 s of nothing
    found, true = cues_of(voice), made(voice).truth
    assert found["energy_range"] == pytest.approx(true["energy_range"], abs=1)
    assert found["speaking_rate"] == pytest.approx(true["speaking_rate"], rel=0.05)


@pytest.mark.parametrize("hz", [100, 160, 220])
def test_jitter_is_told_from_none(hz: float) -> None:
    voices = [
        Voice(hz=hz, jitter=jitter, shimmer=0.005, hnr_db=30, swing_semitones=0.5)
        for jitter in (0.001, 0.006, 0.012)
    ]
    measured = [cues_of(voice)["jitter"] for voice in voices]
    true = [made(voice).truth["jitter"] for voice in voices]
    assert true == pytest.approx([0.1, 0.7, 1.3], abs=0.15)
    assert measured == pytest.approx(true, abs=0.45)
    assert np.diff(measured) == pytest.approx(np.diff(true), rel=0.5), "each is told from the one before"


@pytest.mark.parametrize("hnr_db", [8, 14, 20])
def test_breath_lowers_the_harmonics_over_noise(hnr_db: float) -> None:
    voice = Voice(hnr_db=hnr_db, jitter=0.001, shimmer=0.005, hz=130)
    assert cues_of(voice)["hnr"] == pytest.approx(hnr_db, abs=2)


def test_a_steeper_voice_is_darker() -> None:
    for tilt_db in (-15, -8):
        voice = Voice(tilt_db=tilt_db)
        assert cues_of(voice)["spectral_tilt"] == pytest.approx(made(voice).truth["spectral_tilt"], abs=0.5)


def test_what_noise_would_spoil_is_left_out() -> None:
    quiet, noisy = set(cues_of(Voice())), set(cues_of(Voice(), 12))
    assert {"jitter", "hnr", "pitch_median"} <= quiet
    assert "pitch_median" in noisy
    assert not {"jitter", "hnr", "energy_range"} & noisy


def noise(seconds: float, level: float) -> NDArray[np.int16]:
    return np.random.default_rng(2).normal(0, level, round(seconds * SECOND)).astype(np.int16)


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(2 * SECOND, np.int16),
        np.full(2 * SECOND, 1_000, np.int16),
        np.zeros(1, np.int16),
        noise(0.09, 3_000),
        noise(3, 3_000),
        np.tile(np.array([32_767, -32_768], np.int16), SECOND),
    ],
    ids=["silence", "constant", "one sample", "short", "noise", "full scale"],
)
def test_no_voice_has_no_pitch_and_nothing_fails(audio: NDArray[np.int16]) -> None:
    found = measure(Speech(audio))
    assert "pitch_median" not in found
    assert "jitter" not in found
    assert all(np.isfinite(value) for value in found.values())


def test_breath_and_voice_are_told_apart() -> None:
    """Hiss before a vowel, as loud: the pitch is the vowel's."""
    vowel = made(Voice(hz=140)).wave
    hiss = np.random.default_rng(3).normal(0, 0.05, SECOND).astype(np.float32)
    found = measure(Speech(to_pcm(np.concatenate([np.zeros(3_200, np.float32), hiss, vowel]))))
    assert found["pitch_median"] == pytest.approx(140, rel=0.04)


def test_a_part_is_measured_alone() -> None:
    low, high = made(Voice(hz=110, level_db=-32)).wave, made(Voice(hz=220)).wave
    speech = Speech(to_pcm(np.concatenate([low, high])))
    first = np.arange(speech.frames.count) < len(low) // 160 - 4
    before, after = measure(speech, first), measure(speech, ~first)
    assert before["pitch_median"] == pytest.approx(110, rel=0.03)
    assert after["pitch_median"] == pytest.approx(220, rel=0.03)
    assert after["energy_mean"] - before["energy_mean"] == pytest.approx(6, abs=1)


def test_a_part_with_too_little_voice_has_no_values() -> None:
    speech = Speech(to_pcm(made(Voice()).wave))
    assert measure(speech, np.arange(speech.frames.count) < 5) == {}


def test_every_cue_says_what_it_is() -> None:
    assert len({cue.name for cue in CUES}) == len(CUES)
    for cue in CUES:
        assert cue.unit
        assert cue.error > 0
        assert cue.least_spread > 0
        assert "None" in (cue.measure.__doc__ or ""), "says when it cannot be measured"
