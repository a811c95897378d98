"""Jitter: how unequal neighbouring periods of the voice are.

P. Lieberman, "Some acoustic measures of the fundamental periodicity of normal and pathologic larynges", JASA
35, 1963. "Local" jitter, as Praat names it. Noise makes it read higher: it is measured in clear voices only.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import Mask
from affectstream_server.cues.hnr import CLEAR_DB, hnr
from affectstream_server.cues.speech import Speech

_LEAST_CYCLES: Final = 20


def jitter(speech: Speech, where: Mask) -> float | None:
    """Mean difference of neighbouring periods over their mean, in percent, 0 to 15; None below 20 of them,
    or where harmonics are less than 15 dB over noise.
    """
    cycles = speech.cycles
    if cycles is None or (hnr(speech, where) or 0.0) < CLEAR_DB:
        return None
    here = cycles.followed & where[np.minimum(cycles.frame, len(where) - 1)]
    first = np.flatnonzero(here)
    if len(first) < _LEAST_CYCLES:
        return None
    differences = np.abs(cycles.period_s[first + 1] - cycles.period_s[first])
    return float(100 * differences.mean() / cycles.period_s[first].mean())
