"""Voices that are made: a train of pulses through formants, of which everything is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from affectstream.contract import SAMPLE_RATE_HZ
from quality.clips import Wave
from quality.noise import rms

_OVERSAMPLED: Final = 4
_BREATH_S: Final = 0.25
"""Background alone before and after, as an utterance has it."""
_VOWELS: Final = (
    ((700, 90), (1_220, 110), (2_600, 160), (3_500, 200)),
    ((500, 80), (1_500, 100), (2_500, 140), (3_500, 200)),
    ((400, 70), (1_900, 110), (2_550, 150), (3_500, 200)),
    ((450, 70), (1_030, 90), (2_380, 140), (3_400, 200)),
)
"""Frequency and bandwidth of each formant in Hz: a, the middle vowel, e, o."""
_MIDDLE: Final = 1
_TILT_FROM_HZ: Final = 300.0
_HIGHEST_HZ: Final = 7_000.0
_CROSS_FADE: Final = np.hanning(1_201) / np.hanning(1_201).sum()
"""From vowel to vowel: 19 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What a voice is to be like."""

    seconds: float = 3.0
    hz: float = 150.0
    swing_semitones: float = 2.0
    """The pitch goes so far up and down from its middle, slowly."""
    jitter: float = 0.003
    """Standard deviation of a period, as a share of it."""
    shimmer: float = 0.01
    """Standard deviation of a pulse's strength, as a share of it."""
    hnr_db: float = 25.0
    """Of the pulses over noise through the same formants."""
    tilt_db: float = -12.0
    """An octave, above 300 Hz."""
    syllables_hz: float = 0.0
    """Syllables a second; 0: one held vowel."""
    dip_db: float = 15.0
    """Between syllables."""
    level_db: float = -26.0
    """Of the whole, dBFS."""


@dataclass(frozen=True, slots=True)
class Made:
    """A made voice and what is true of it, by cue."""

    wave: Wave
    truth: dict[str, float]


def make(voice: Voice, rng: np.random.Generator) -> Made:
    """A voice at 16 kHz with silence before and after."""
    rate = SAMPLE_RATE_HZ * _OVERSAMPLED
    count = round(voice.seconds * rate)
    time_s = np.arange(count) / rate
    at_s, hz, strength = _pulses(voice, rng)
    pulses = np.zeros(count + 1)
    whole = (at_s * rate).astype(int)
    part = at_s * rate - whole
    np.add.at(pulses, whole, strength * (1 - part))
    np.add.at(pulses, whole + 1, strength * part)
    contour_db, syllables = _contour(voice, time_s)
    vowels = _VOWELS if voice.syllables_hz else (_VOWELS[_MIDDLE],)
    which = np.floor(voice.syllables_hz * time_s) % len(vowels)
    voiced, breath = np.zeros(count), np.zeros(count)
    source = rng.standard_normal(count)
    for number, vowel in enumerate(vowels):
        shape = _shape(vowel, voice.tilt_db, count, rate)
        turn = np.convolve(which == number, _CROSS_FADE, "same")
        voiced += turn * np.fft.irfft(np.fft.rfft(pulses[:-1]) * shape, count)
        hiss = np.fft.irfft(np.fft.rfft(source) * shape, count)
        breath += turn * hiss / _up_to_4_khz(hiss, rate)
    gain = 10 ** (contour_db / 20)
    voiced, breath = voiced * gain, breath * gain
    breath *= _up_to_4_khz(voiced, rate) / _up_to_4_khz(breath, rate) * 10 ** (-voice.hnr_db / 20)
    sound = (voiced + breath)[::_OVERSAMPLED]
    scale = 10 ** (voice.level_db / 20) / rms(sound)
    sound *= scale
    silence = np.zeros(round(_BREATH_S * SAMPLE_RATE_HZ))
    periods = np.diff(at_s)
    octaves = np.log2(hz)
    truth = {
        "pitch_median": float(np.median(np.interp(time_s, at_s, hz))),
        "pitch_range": 12 * float(np.subtract(*np.quantile(np.interp(time_s, at_s, octaves), (0.9, 0.1)))),
        "energy_mean": voice.level_db,
        "energy_over_noise": np.inf,
        "jitter": 100 * float(np.abs(np.diff(periods)).mean() / periods.mean()),
        "shimmer": 100 * float(np.abs(np.diff(strength)).mean() / strength.mean()),
        "hnr": voice.hnr_db,
        "spectral_tilt": _tilt(sound),
    }
    if voice.syllables_hz:
        truth["speaking_rate"] = voice.syllables_hz
        frames = int(syllables / voice.syllables_hz * 100)  # to the last syllable's end
        frame_db = 10 * np.log10(np.mean(sound[: frames * 160].reshape(-1, 160) ** 2, axis=1))
        low, high = np.quantile(frame_db, (0.1, 0.9))
        truth["energy_range"] = float(high - low)
    return Made(np.concatenate([silence, sound, silence]).astype(np.float32), truth)


def _pulses(voice: Voice, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each pulse comes in seconds, the pitch then in Hz, and its strength."""
    at_s, now_s = [], 0.0
    while now_s < voice.seconds - 1e-3:
        at_s.append(now_s)
        now_s += (1 + voice.jitter * rng.standard_normal()) / float(_hz(voice, np.array(now_s)))
    times = np.array(at_s)
    return times, _hz(voice, times), 1 + voice.shimmer * rng.standard_normal(len(times))


def _hz(voice: Voice, time_s: np.ndarray) -> np.ndarray:
    return voice.hz * 2 ** (voice.swing_semitones / 12 * np.sin(2 * np.pi * time_s / 1.5))


def _contour(voice: Voice, time_s: np.ndarray) -> tuple[np.ndarray, int]:
    """Level over time in dB, and how many syllables it has."""
    if not voice.syllables_hz:
        return np.zeros(len(time_s)), 0
    syllables = int(voice.seconds * voice.syllables_hz)
    phase = voice.syllables_hz * time_s
    bumps_db = voice.dip_db / 2 * (np.cos(2 * np.pi * (phase - 0.5)) - 1)
    return np.where(phase < syllables, bumps_db, -60.0), syllables


def _shape(vowel: tuple[tuple[int, int], ...], tilt_db: float, count: int, rate: int) -> np.ndarray:
    """The spectrum of a vowel."""
    hz = np.fft.rfftfreq(count, 1 / rate)
    shape = (1 + (hz / _TILT_FROM_HZ) ** 2) ** (tilt_db / 12) * hz / (hz + 50) + 0j
    for centre, width in vowel:
        shape *= centre**2 / (centre**2 - hz**2 + 1j * hz * width)
    return np.where(hz <= _HIGHEST_HZ, shape, 0)


def _up_to_4_khz(sound: np.ndarray, rate: int) -> float:
    """RMS below 4 kHz, the band of which the ratio is."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(np.sqrt(power[: len(sound) * 4_000 // rate].sum()) / len(sound))


def _tilt(sound: np.ndarray) -> float:
    """The tilt of the whole, from one long spectrum."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    lower, upper = (power[(hz >= low) & (hz < high)].sum() for low, high in ((50, 1_000), (1_000, 5_000)))
    return float(10 * np.log10(upper / lower))
