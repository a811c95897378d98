"""Shimmer: how unequal the strengths of neighbouring periods are.

Y. Horii, "Vocal shimmer in sustained phonation", JSHR 23, 1980. Of the level of each period, not of its peak,
which depends more on noise, and without what rises or falls over several periods: that is the syllable's.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import Mask
from affectstream_server.cues.hnr import CLEAR_DB, hnr
from affectstream_server.cues.speech import Speech

_LEAST_CYCLES: Final = 20
_AROUND: Final = np.ones(9) / 9
_PERCENT_A_DB: Final = 100 * np.log(10) / 20


def shimmer(speech: Speech, where: Mask) -> float | None:
    """Mean difference of neighbouring amplitudes in percent, 0 to 60; None below 20 periods, or where
    harmonics are less than 15 dB over noise.
    """
    cycles = speech.cycles
    if cycles is None or (hnr(speech, where) or 0.0) < CLEAR_DB:
        return None
    gains_db = cycles.gain_db[where[np.minimum(cycles.frame, len(where) - 1)]]
    if len(gains_db) < _LEAST_CYCLES:
        return None
    trend_db = np.convolve(gains_db, _AROUND, "same")
    return float(_PERCENT_A_DB * np.abs(gains_db - trend_db).mean())
