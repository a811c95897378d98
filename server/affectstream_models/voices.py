"""A voice made another's: its pace, its vocal tract, its pitch, each without the others.

Waveforms are float32 [samples] at 16 kHz with full scale ±1.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy import signal

from affectstream_models.augment import Samples
from affectstream_models.metrics import Reals

_OVERLAP: Final = 240
"""15 ms: pieces of speech are laid over each other for so long, two to a piece."""
_SEARCH: Final = 200
"""How far a piece may be moved so that its periods meet those before it: half a period of 40 Hz."""
_WINDOW: Final = 512
_HOP: Final = 128
_LIFTER: Final = 40
"""Cepstral coefficients that make the envelope: a resolution of 200 Hz, blind to pitch below 400 Hz."""


def change_tempo(wave: Samples, factor: float) -> Samples:
    """Said in 1 / `factor` of the time, at the same pitch (WSOLA)."""
    pieces = math.ceil(len(wave) / factor / _OVERLAP)
    margin = _SEARCH + 2 * _OVERLAP
    source = np.pad(wave.astype(np.float64), (margin, margin + round(_OVERLAP * (factor + 2))))
    window = signal.get_window("hann", 2 * _OVERLAP)
    made = np.zeros((pieces + 1) * _OVERLAP)
    wanted = source[margin : margin + 2 * _OVERLAP]
    for piece in range(pieces):
        at = margin + round(piece * _OVERLAP * factor)
        if piece:
            at += _best_shift(source[at - _SEARCH : at + 2 * _OVERLAP + _SEARCH], wanted)
        made[piece * _OVERLAP :][: 2 * _OVERLAP] += window * source[at : at + 2 * _OVERLAP]
        wanted = source[at + _OVERLAP : at + 3 * _OVERLAP]
    return made[: round(len(wave) / factor)].astype(np.float32)


def shift_formants(wave: Samples, factor: float) -> Samples:
    """Formants at `factor` times their frequency, as from a tract 1 / `factor` as long; pitch stays."""
    _, _, spectrum = signal.stft(wave, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    log_level = np.log(np.abs(spectrum) + 1e-5)
    cepstrum = np.fft.irfft(log_level, axis=0)
    cepstrum[_LIFTER : len(cepstrum) - _LIFTER + 1] = 0
    envelope = np.fft.rfft(cepstrum, axis=0).real
    bins = np.arange(len(envelope))
    source = np.minimum(bins / factor, len(bins) - 1)
    below = np.minimum(source.astype(int), len(bins) - 2)
    share = (source - below)[:, None]
    warped = envelope[below] * (1 - share) + envelope[below + 1] * share
    _, shifted = signal.istft(spectrum * np.exp(warped - envelope), nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    return np.asarray(shifted[: len(wave)], dtype=np.float32)


def shift_pitch(wave: Samples, semitones: float) -> Samples:
    """Higher or lower by so many semitones, of the same length, with the formants where they were."""
    factor = 2 ** (semitones / 12)
    stretched = change_tempo(wave, 1 / factor)
    # Heard faster it has its length again, with pitch and formants both higher by the factor.
    raised = signal.resample(stretched, round(len(stretched) / factor))[: len(wave)]
    raised = np.pad(raised, (0, len(wave) - len(raised)))
    return shift_formants(raised.astype(np.float32), 1 / factor)


def _best_shift(around: Reals, wanted: Reals) -> int:
    """Where in `around` the piece lies that goes on most like `wanted`, relative to its middle."""
    likeness = signal.correlate(around, wanted, mode="valid", method="fft")
    power = signal.convolve(around**2, np.ones(len(wanted)), mode="valid", method="fft")
    return int(np.argmax(likeness / np.sqrt(np.maximum(power, 1e-9)))) - _SEARCH
