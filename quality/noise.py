"""Noise to put under talks: recorded, or coloured noise that is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from quality.clips import Clip, Wave, read_wave

HUMAN_NOISES: Final = frozenset({"Baby cry", "Person sneeze"})
"""Left out: a voice that is not an utterance has no true answer."""
STEEPEST: Final = 2.0
"""Power falls with frequency to at most this power: brown noise; 0 is white."""
_FLAT_BELOW_HZ: Final = 50.0
_SWELL_DB: Final = (0.5, 3.0)
_SWELL_S: Final = 2
_CROSS_FADE: Final = round(0.1 * SAMPLE_RATE_HZ)


def recorded_noise(folder: Path, noises: Sequence[Clip], length: int, rng: np.random.Generator) -> Wave:
    """Float32 ``[length]`` of one kind of noise, its clips one after the other, cross-faded."""
    label = noises[int(rng.integers(len(noises)))].label
    clips = [clip for clip in noises if clip.label == label]
    ramp = np.linspace(0, 1, _CROSS_FADE, dtype=np.float32)
    out = np.zeros(length + len(ramp), np.float32)
    position = 0
    while position < length:
        wave = read_wave(folder / clips[int(rng.integers(len(clips)))].path)
        wave = wave / np.float32(max(rms(wave), 1e-4))
        wave[: len(ramp)] *= ramp
        wave[-len(ramp) :] *= ramp[::-1]
        room = min(len(wave), len(out) - position)
        out[position : position + room] += wave[:room]
        position += len(wave) - len(ramp)
    return out[:length]


def steady_noise(length: int, rng: np.random.Generator) -> Wave:
    """Float32 ``[length]`` between white and brown, near RMS 1, its level swelling over seconds."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE_HZ)
    fall = np.maximum(hz, _FLAT_BELOW_HZ) ** (-rng.uniform(0, STEEPEST) / 2)
    noise = np.fft.irfft(spectrum * fall, length)
    count = max(2, length // (_SWELL_S * SAMPLE_RATE_HZ))
    swell_db = rng.normal(0, rng.uniform(*_SWELL_DB), size=count)
    level_db = np.interp(np.arange(length), np.linspace(0, length, count), swell_db)
    wave: Wave = (noise / rms(noise) * 10 ** (level_db / 20)).astype(np.float32)
    return wave


def rms(wave: NDArray[np.floating]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
