"""Rate: how quickly somebody speaks, by syllable nuclei.

N. H. de Jong and T. Wempe, "Praat script to detect syllable nuclei and measure speech rate automatically",
Behavior Research Methods 41, 2009: a nucleus is a voiced peak of intensity with a dip on either side.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import HOP, Frames, Mask, decibels
from affectstream_server.cues.speech import Speech
from affectstream_server.timeline import ms_of_samples

_BAND_HZ: Final = (250.0, 2_500.0)
"""Where vowels are: hiss and rumble make no syllables."""
_SMOOTH: Final = np.hanning(7)[1:-1] / np.hanning(7).sum()
_DIP_DB: Final = 1.5
_BELOW_DB: Final = 25.0
_LEAST_FRAMES: Final = 50
_LEAST_NUCLEI: Final = 2
_NEAR: Final = 2


def speaking_rate(speech: Speech, where: Mask) -> float | None:
    """Syllables a second from the first speech to the last, pauses included, 0.5 to 12.

    None below 500 ms, or two syllables.
    """
    spoken = np.flatnonzero(speech.frames.spoken & where)
    if not len(spoken):
        return None
    during = where.copy()
    during[: spoken[0]] = during[spoken[-1] + 1 :] = False
    count = int(during[_nuclei(speech.frames, speech.track.voiced)].sum())
    length = int(during.sum())
    if length < _LEAST_FRAMES or count < _LEAST_NUCLEI:
        return None
    return count / (length * ms_of_samples(HOP) / 1_000)


def _nuclei(frames: Frames, voiced: Mask) -> list[int]:
    """The frames of syllable nuclei."""
    levels_db = np.convolve(decibels(frames.band(*_BAND_HZ)), _SMOOTH, "same")
    levels_db[: len(_SMOOTH) // 2] = levels_db[-(len(_SMOOTH) // 2) :] = -100
    inner = levels_db[1:-1]
    peaks = np.flatnonzero((inner > levels_db[:-2]) & (inner >= levels_db[2:])) + 1
    peaks = peaks[levels_db[peaks] > np.quantile(levels_db, 0.95) - _BELOW_DB]
    kept: list[int] = []
    for peak in peaks.tolist():
        if kept:
            last = kept[-1]
            valley_db = levels_db[last:peak].min()
            if min(levels_db[last], levels_db[peak]) - valley_db < _DIP_DB:
                kept[-1] = peak if levels_db[peak] > levels_db[last] else last
                continue
        kept.append(peak)
    return [peak for peak in kept if voiced[max(0, peak - _NEAR) : peak + _NEAR + 1].any()]
