"""Energy: how loud the speech is, and how much it varies.

K. R. Scherer, "Vocal communication of emotion", Speech Communication 40, 2003. A level is of a microphone as
much as of a voice: it says something against the same speaker's other utterances on the same line.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import Mask, decibels
from affectstream_server.cues.speech import Speech

_LEAST_FRAMES: Final = 10
_LEAST_FRAMES_OF_RANGE: Final = 30
_OUTER: Final = 0.1
_FULL_SCALE_DB: Final = 20 * np.log10(32_768)


def energy_mean(speech: Speech, where: Mask) -> float | None:
    """Level of the speech in dBFS, -96 to 0, without that of the background; None below 100 ms of it."""
    heard = _heard(speech, where)
    return None if heard is None else float(decibels(heard)) - _FULL_SCALE_DB


def energy_over_noise(speech: Speech, where: Mask) -> float | None:
    """Level of the speech over that of the background in dB, -3 to 90; None below 100 ms of it.

    Whatever sets the recording's level sets both: it is the louder voice that stands out further.
    """
    heard = _heard(speech, where)
    return None if heard is None else float(decibels(heard / speech.frames.background))


def energy_range(speech: Speech, where: Mask) -> float | None:
    """dB from the 10th to the 90th percentile of the voiced frames' levels, 0 to 25; None below 300 ms."""
    frames = speech.frames
    levels_db = frames.levels_db[speech.track.voiced & where]
    if len(levels_db) < _LEAST_FRAMES_OF_RANGE:
        return None
    low, high = np.quantile(levels_db, (_OUTER, 1 - _OUTER))
    return float(high - low)


def _heard(speech: Speech, where: Mask) -> float | None:
    """Mean power of the speech alone."""
    frames = speech.frames
    spoken = frames.spoken & where
    if spoken.sum() < _LEAST_FRAMES:
        return None
    power = float(frames.power[spoken].mean())
    return power - min(frames.background, power / 2)
