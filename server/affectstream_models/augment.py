"""What a microphone, a room and a telephone line do to speech, drawn at random from a seeded generator.

Waveforms are float32 [samples] at 16 kHz with full scale ±1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import signal

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.dataset import Waveform

Samples = npt.NDArray[np.float32]

HARMS = ("noise", "room", "band", "colour", "suppressor")
"""What `spoil` knows."""


def augment(speech: Waveform, noises: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    """One altered copy. Every effect but the gain is drawn with its own probability."""
    wave = speech.astype(np.float32) / 32768
    if rng.random() < 0.5:
        wave = change_speed(wave, rng.choice([0.88, 0.92, 0.96, 1.04, 1.08, 1.12]))
    if rng.random() < 0.3:
        wave = crop(wave, rng.uniform(1.0, 3.0), rng)
    if rng.random() < 0.3:
        wave = reverberate(wave, decay_s=rng.uniform(0.1, 0.5), wet=rng.uniform(0.1, 0.5), rng=rng)
    if rng.random() < 0.5:
        wave = pad(wave, rng.uniform(0, 0.5), rng.uniform(0, 0.5))
    if rng.random() < 0.6:
        wave = add_noise(wave, draw_noise(len(wave), noises, rng), snr_db=rng.uniform(3, 35))
    if rng.random() < 0.6:
        wave = equalise(wave, rng.normal(0, 4, size=7))
    if rng.random() < 0.4:
        wave = limit_band(wave, low_hz=rng.uniform(50, 350), high_hz=rng.uniform(3300, 7800))
    if rng.random() < 0.2:
        wave = telephone(wave)
    return to_int16(wave, peak_db=rng.uniform(-30, -1) if rng.random() < 0.9 else rng.uniform(0, 10))


def spoil(speech: Waveform, noises: Sequence[Waveform], rng: np.random.Generator, *, harm: str) -> Waveform:
    """One copy with one of `HARMS` further than any in training: what calibration must stay honest on."""
    wave = speech.astype(np.float32) / 32768
    match harm:
        case "noise":
            wave = add_noise(wave, draw_noise(len(wave), noises, rng), snr_db=rng.uniform(-8, 3))
        case "room":
            wave = reverberate(wave, decay_s=rng.uniform(0.6, 1.5), wet=rng.uniform(0.7, 2), rng=rng)
        case "band":
            wave = limit_band(wave, low_hz=rng.uniform(50, 600), high_hz=rng.uniform(1200, 2500))
        case "colour":
            wave = equalise(wave, rng.normal(0, 10, size=7))
        case "suppressor":
            wave = suppress(wave, over=rng.uniform(3, 6), share=rng.uniform(0.3, 0.6))
        case _:
            raise ValueError(f"harm {harm!r} is none of {', '.join(HARMS)}")
    return to_int16(wave, peak_db=-3)


def change_speed(wave: Samples, factor: float) -> Samples:
    """Faster and higher above 1, slower and lower below."""
    return _resample(wave, 100, round(100 * factor))


def crop(wave: Samples, duration_s: float, rng: np.random.Generator) -> Samples:
    """A stretch of at most `duration_s`, as an endpoint within a sentence leaves it."""
    samples = min(len(wave), round(duration_s * SAMPLE_RATE_HZ))
    start = rng.integers(len(wave) - samples + 1)
    return wave[start : start + samples]


def pad(wave: Samples, before_s: float, after_s: float) -> Samples:
    """Silence around the speech, as pre-roll and hang-over leave it."""
    return np.pad(wave, (round(before_s * SAMPLE_RATE_HZ), round(after_s * SAMPLE_RATE_HZ)))


def reverberate(wave: Samples, *, decay_s: float, wet: float, rng: np.random.Generator) -> Samples:
    """A room drawn as decaying noise: `decay_s` to −60 dB, `wet` its amplitude beside the direct sound."""
    time_s = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(time_s)) * np.exp(-6.9 * time_s / decay_s)
    tail *= wet / np.sqrt((tail**2).sum())
    tail[0] += 1
    wet_wave: Samples = signal.fftconvolve(wave, tail)[: len(wave)].astype(np.float32)
    return wet_wave


def draw_noise(samples: int, noises: Sequence[Waveform], rng: np.random.Generator) -> Samples:
    """A stretch of a recorded noise, or of white to brown noise."""
    if len(noises) and rng.random() < 0.7:
        noise = noises[rng.integers(len(noises))].astype(np.float32) / 32768
        repeats = samples // len(noise) + 2
        start = rng.integers(len(noise))
        return np.tile(noise, repeats)[start : start + samples]
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    slope = rng.uniform(0, 1)
    return np.fft.irfft(spectrum / np.maximum(1, np.arange(len(spectrum))) ** slope, samples).astype(
        np.float32
    )


def add_noise(wave: Samples, noise: Samples, *, snr_db: float) -> Samples:
    """Noise at a ratio of mean powers over the whole clip."""
    noise_power = float(np.mean(noise**2))
    if noise_power == 0:
        return wave
    gain = np.sqrt(float(np.mean(wave**2)) / noise_power * 10 ** (-snr_db / 10))
    return np.asarray(wave + gain * noise, dtype=np.float32)


def suppress(wave: Samples, *, over: float, share: float) -> Samples:
    """Takes away `over` times the level that a `share` of the frames keep under, band by band."""
    _, _, spectrum = signal.stft(wave, nperseg=512, noverlap=384)
    magnitude = np.abs(spectrum)
    floor = np.quantile(magnitude, share, axis=1, keepdims=True)
    gain = np.maximum(1 - over * floor / (magnitude + 1e-9), 0.003)
    _, suppressed = signal.istft(spectrum * gain, nperseg=512, noverlap=384)
    return np.asarray(suppressed[: len(wave)], dtype=np.float32)


def equalise(wave: Samples, gains_db: npt.NDArray[np.float64]) -> Samples:
    """A smooth curve through gains at 125 Hz and every octave above."""
    hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)
    octave = np.log2(np.maximum(hz, 60) / 125)
    curve_db = np.interp(octave, np.arange(len(gains_db)), gains_db)
    return _filter(wave, 10 ** (curve_db / 20))


def limit_band(wave: Samples, *, low_hz: float, high_hz: float) -> Samples:
    """Band limits of fourth order at both ends."""
    hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)
    low = 1 / np.sqrt(1 + (low_hz / np.maximum(hz, 1)) ** 8)
    high = 1 / np.sqrt(1 + (hz / high_hz) ** 16)
    return _filter(wave, low * high)


def telephone(wave: Samples) -> Samples:
    """300-3,400 Hz at 8 kHz, through 8-bit µ-law and back to 16 kHz."""
    narrow = _resample(limit_band(wave, low_hz=300, high_hz=3400), 1, 2)
    peak = np.abs(narrow).max() + 1e-9
    scaled = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    coded = np.round(scaled * 127) / 127
    decoded = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak
    return _resample(decoded, 2, 1)[: len(wave)]


def to_int16(wave: Samples, *, peak_db: float) -> Waveform:
    """Scaled so that the peak stands at `peak_db` of full scale; above 0 it clips."""
    peak = np.abs(wave).max() + 1e-9
    scaled = wave * (32768 * 10 ** (peak_db / 20) / peak)
    return np.asarray(np.clip(np.round(scaled), -32768, 32767), dtype=np.int16)


def _filter(wave: Samples, response: npt.NDArray[np.float64]) -> Samples:
    return np.asarray(np.fft.irfft(np.fft.rfft(wave) * response, len(wave)), dtype=np.float32)


def _resample(wave: Samples, up: int, down: int) -> Samples:
    resampled: Samples = signal.resample_poly(wave, up, down).astype(np.float32)
    return resampled
