"""Frames: an utterance in short windows, and the levels and spectra that cues are measured from."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_server.stages.decode import Samples
from affectstream_server.timeline import samples_of_ms

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

HOP: Final = samples_of_ms(10)
WINDOW: Final = samples_of_ms(40)
"""More than two periods of the lowest voice, as autocorrelation needs."""
FFT: Final = 960
"""A window and the longest period side by side; its factors are small, and it is no power of two, at which
the rows of a batch would fall on the same lines of the cache."""
BIN_HZ: Final = SAMPLE_RATE_HZ / FFT
HANN: Final = np.hanning(WINDOW + 1)[:-1].astype(np.float32)

_SCALED_HANN: Final = (HANN / np.sqrt(HANN @ HANN)).astype(np.float32)
_BLOCK: Final = 32
"""Frames transformed at once: what they take is used again, not asked of the system anew."""
_SILENT_POWER: Final = np.float32(0.1)
"""In squared steps of 16-bit audio: keeps digital silence finite."""
_QUIETEST: Final = 0.1
_FLUCTUATION: Final = 1.15
"""Mean power of noise over that of its quietest tenth, in windows of this length."""
_LOUDEST: Final = 0.95
_SPOKEN_DB: Final = 25.0
"""Speech lies at most so far below its loudest part."""
_OVER_NOISE_DB: Final = 5.0
_ALWAYS_SPOKEN_DB: Final = 12.0
"""What lies so little below the loudest part is speech, though the quietest tenth be hardly quieter."""


class Frames:
    """A frame every 10 ms of int16 ``[n]`` at 16 kHz; frame ``i`` has its middle at sample 160 i + 320."""

    def __init__(self, audio: Samples) -> None:
        self.audio: Floats = audio.astype(np.float32)
        self.audio -= self.audio.mean()
        self.count = max(0, (len(audio) - WINDOW) // HOP + 1)
        """How many there are."""

    @cached_property
    def spectra(self) -> Floats:
        """Power of each bin of ``BIN_HZ``, ``[count, FFT / 2 + 1]``; a frame's mean is its mean power."""
        windows = np.lib.stride_tricks.sliding_window_view(self.audio, WINDOW)[::HOP]
        power = np.empty((self.count, FFT // 2 + 1), np.float32)
        for first in range(0, self.count, _BLOCK):
            spectrum = np.fft.rfft(windows[first : first + _BLOCK] * _SCALED_HANN, FFT)
            np.square(spectrum.real, out=power[first : first + _BLOCK])
            power[first : first + _BLOCK] += spectrum.imag**2
        return power

    def band(self, low_hz: float, high_hz: float) -> Floats:
        """Mean power ``[count]`` of the bins from ``low_hz`` to ``high_hz``."""
        bins = self.spectra[:, round(low_hz / BIN_HZ) : round(high_hz / BIN_HZ) + 1]
        power: Floats = bins.mean(axis=1) + _SILENT_POWER
        return power

    @cached_property
    def power(self) -> Floats:
        """Mean power ``[count]``, in squared steps of 16-bit audio."""
        power: Floats = self.spectra.mean(axis=1) + _SILENT_POWER
        return power

    @cached_property
    def levels_db(self) -> Floats:
        """Level ``[count]`` in dB over one squared step."""
        levels_db: Floats = decibels(self.power)
        return levels_db

    @cached_property
    def quiet(self) -> Mask:
        """The quietest tenth, ``[count]``, which is taken for the background."""
        mask: Mask = self.power <= np.quantile(self.power, _QUIETEST)
        return mask

    @cached_property
    def background(self) -> float:
        """Mean power of the background."""
        return _FLUCTUATION * float(self.power[self.quiet].mean())

    @cached_property
    def loud(self) -> Mask:
        """At most 25 dB below the loudest part, ``[count]``: where a voice is looked for."""
        mask: Mask = self.levels_db >= self._loudest_db - _SPOKEN_DB
        return mask

    @cached_property
    def spoken(self) -> Mask:
        """Speech, ``[count]``: loud, and above the background where that can be told."""
        background_db = float(decibels(self.background))
        over_noise_db = min(background_db + _OVER_NOISE_DB, self._loudest_db - _ALWAYS_SPOKEN_DB)
        mask: Mask = self.loud & (self.levels_db >= over_noise_db)
        return mask

    @cached_property
    def _loudest_db(self) -> float:
        return float(np.quantile(self.levels_db, _LOUDEST))


def decibels(power: Any) -> Any:
    """Power in dB."""
    return 10 * np.log10(power)
