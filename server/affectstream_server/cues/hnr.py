"""Harmonics to noise: how much of the voice repeats from period to period, against what does not.

E. Yumoto, W. J. Gould and T. Baer, "Harmonics-to-noise ratio as an index of the degree of hoarseness", JASA
71, 1982; from the likeness of neighbouring periods, as Boersma 1993 derives it. Below 4 kHz. What is noise in
the room counts as noise of the voice: it is measured in quiet only.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import Mask, decibels
from affectstream_server.cues.speech import Speech

CLEAR_DB: Final = 15.0
"""Below it, noise moves periods and strengths as much as the voice does."""
_LEAST_CYCLES: Final = 20
_MOST: Final = 1 / (1 + 10**-2.5)
"""Nothing above 25 dB is told apart: the background that is let through is about as strong."""


def hnr(speech: Speech, where: Mask) -> float | None:
    """Harmonics over noise in dB, 0 to 25; None below 20 periods."""
    cycles = speech.cycles
    if cycles is None:
        return None
    here = where[np.minimum(cycles.frame, len(where) - 1)]
    if here.sum() < _LEAST_CYCLES:
        return None
    share = float(np.clip(np.average(cycles.likeness[here], weights=cycles.power[here]), 0.5, _MOST))
    return float(decibels(share / (1 - share)))
