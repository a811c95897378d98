"""Pitch: how high the voice is, and how far it moves.

R. Banse and K. R. Scherer, "Acoustic profiles in vocal emotion expression", JPSP 70, 1996: both rise with
arousal. The range leaves out a tenth at each end, where trackers err most.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import Mask
from affectstream_server.cues.speech import Speech

_LEAST_FRAMES: Final = 10
_LEAST_FRAMES_OF_RANGE: Final = 30
_OUTER: Final = 0.1


def pitch_median(speech: Speech, where: Mask) -> float | None:
    """Median of the fundamental frequency in Hz, 65 to 600; None below 100 ms of voice."""
    hz = speech.track.hz[speech.track.voiced & where]
    return float(np.median(hz)) if len(hz) >= _LEAST_FRAMES else None


def pitch_range(speech: Speech, where: Mask) -> float | None:
    """Semitones from its 10th to its 90th percentile, 0 to 36; None below 300 ms of voice."""
    hz = speech.track.hz[speech.track.voiced & where]
    if len(hz) < _LEAST_FRAMES_OF_RANGE:
        return None
    low, high = np.quantile(hz, (_OUTER, 1 - _OUTER))
    return float(12 * np.log2(high / low))
