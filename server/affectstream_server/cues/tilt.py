"""Tilt: how bright the voice is, the level of its upper part over that of its lower.

The alpha ratio of B. Frokjaer-Jensen and S. Prytz, "Registration of voice quality", Bruel & Kjaer Technical
Review 3, 1976, in the bands of eGeMAPS (F. Eyben et al., IEEE Trans. Affective Computing 7, 2016), and the
other way up: a pressed, loud voice is brighter and reads higher. A telephone's band changes it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.cues.frames import BIN_HZ, Mask, decibels
from affectstream_server.cues.speech import Speech

_LOWER_HZ: Final = (50.0, 1_000.0)
_UPPER_HZ: Final = (1_000.0, 5_000.0)
_LEAST_FRAMES: Final = 10


def spectral_tilt(speech: Speech, where: Mask) -> float | None:
    """Power from 1 to 5 kHz over that from 50 Hz to 1 kHz in the voiced frames, in dB, -50 to 20.

    Without the background's part; None below 100 ms of voice.
    """
    voiced = speech.track.voiced & where
    if voiced.sum() < _LEAST_FRAMES:
        return None
    spectrum = speech.frames.spectra[voiced].mean(axis=0)
    background = speech.frames.spectra[speech.frames.quiet].mean(axis=0)
    spectrum = np.maximum(spectrum - background, spectrum / 100)
    lower, upper = (
        float(spectrum[round(low / BIN_HZ) : round(high / BIN_HZ)].sum())
        for low, high in (_LOWER_HZ, _UPPER_HZ)
    )
    return float(decibels(upper / lower)) if lower > 0 and upper > 0 else None
