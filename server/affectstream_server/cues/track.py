"""Track: the fundamental frequency of each frame, by autocorrelation.

P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound", Proc. IFA 17, 1993: the autocorrelation of a windowed frame over that of its window. Octave
errors are kept out by a second look within the range of the first, as C. De Looze and D. Hirst do (Speech
Prosody 2008), and by leaving out what jumps away from its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from affectstream_server.cues.frames import FFT, HANN, Floats, Frames, Mask

LOWEST_HZ: Final = 65.0
HIGHEST_HZ: Final = 600.0

_RATE_HZ: Final = 8_000
"""Up to 4 kHz a voice is periodic; above it is mostly breath."""
_LAGS: Final = FFT // 2
_FIRST: Final = int(_RATE_HZ / HIGHEST_HZ) - 1
_END: Final = int(_RATE_HZ / LOWEST_HZ) + 3
_VOICED: Final = 0.5
"""Autocorrelation of a voiced frame, 1 for a perfect period. Noise reaches 0.3."""
_SURE: Final = 0.7
_LEAST_SURE: Final = 3
_OCTAVE_COST: Final = 0.12
"""Two periods repeat as well as one: the shorter is preferred by this, an octave."""
_BELOW: Final = 1.5
_ABOVE: Final = 1.8
"""How far the second look goes beyond the middle half of the first, as ratios."""
_AROUND: Final = 3
_JUMP_OCTAVES: Final = 0.3
_BLOCK: Final = 64
_TINY: Final = np.float32(1e-3)


def _reach() -> Floats:
    spectrum = np.fft.rfft(HANN, FFT)[: _LAGS // 2 + 1]
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, _LAGS)
    reach: Floats = (correlation[_FIRST:_END] / correlation[0]).astype(np.float32)
    return reach


@dataclass(frozen=True, slots=True)
class Track:
    """What was found."""

    hz: Floats
    """Fundamental frequency ``[count]``, 65 to 600 Hz; NaN where there is none."""
    voiced: Mask
    """``[count]``."""


def track(frames: Frames) -> Track:
    """The fundamental frequency of each frame; at least one frame."""
    strength = _strength(frames)
    inner = strength[:, 1:-1]
    lags = np.arange(_FIRST + 1, _END - 1, dtype=np.float32)
    peaks = (inner > strength[:, :-2]) & (inner >= strength[:, 2:])
    score = np.where(peaks, inner - _OCTAVE_COST * np.log2(lags), -np.inf)
    rows = np.arange(frames.count)
    best = score.argmax(axis=1)
    sure = frames.loud & (inner[rows, best] > _SURE) & peaks[rows, best]
    if sure.sum() >= _LEAST_SURE:
        short, long = np.quantile(lags[best[sure]], (0.25, 0.75))
        score[:, (lags < short / _ABOVE) | (lags > long * _BELOW)] = -np.inf
        best = score.argmax(axis=1)
    voiced = frames.loud & np.isfinite(score[rows, best]) & (inner[rows, best] > _VOICED)
    before, at, after = (strength[rows, best + step] for step in (0, 1, 2))
    bend = np.where(voiced, before - 2 * at + after, -1)
    hz = _RATE_HZ / (lags[best] + np.where(voiced, 0.5 * (before - after) / bend, 0))
    voiced &= _steady(np.where(voiced, np.log2(np.where(voiced, hz, 1)), np.nan))
    return Track(np.where(voiced, hz, np.nan), voiced)


def _strength(frames: Frames) -> Floats:
    """Autocorrelation below 4 kHz at 8 kHz ``[count, lags]``, 1 for a perfect period."""
    strength = np.empty((frames.count, _END - _FIRST), np.float32)
    for first in range(0, frames.count, _BLOCK):
        block = slice(first, first + _BLOCK)
        correlation = np.fft.irfft(frames.spectra[block, : _LAGS // 2 + 1], _LAGS)
        strength[block] = correlation[:, _FIRST:_END] / (correlation[:, :1] + _TINY)
    strength /= _REACH
    return strength


def _steady(octaves: Floats) -> Mask:
    """Near the middle of those around, ``[count]``; NaN has none."""
    edge = np.full(_AROUND, np.nan)
    around = np.lib.stride_tricks.sliding_window_view(np.concatenate([edge, octaves, edge]), 2 * _AROUND + 1)
    known = np.isfinite(around).sum(axis=1)
    middle = np.sort(around, axis=1)[np.arange(len(octaves)), np.maximum(0, (known - 1) // 2)]
    mask: Mask = (known >= _AROUND) & (np.abs(octaves - middle) < _JUMP_OCTAVES)
    return mask


_REACH: Final = _reach()
"""The window's own autocorrelation at the same lags."""
