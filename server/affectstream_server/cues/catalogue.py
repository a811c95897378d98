"""Every cue that is given, and the one way to measure them.

A cue is here because its error on made voices of known properties is at most what is stated, at any noise at
which it is given (`python -m quality cues`; docs/cues.md). Where it cannot be measured, it is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from affectstream_server.cues.energy import energy_mean, energy_over_noise, energy_range
from affectstream_server.cues.frames import Mask
from affectstream_server.cues.hnr import hnr
from affectstream_server.cues.jitter import jitter
from affectstream_server.cues.pitch import pitch_median, pitch_range
from affectstream_server.cues.rate import speaking_rate
from affectstream_server.cues.shimmer import shimmer
from affectstream_server.cues.speech import Speech
from affectstream_server.cues.tilt import spectral_tilt


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue: what it is called, how good it is, when it is given."""

    name: str
    unit: str
    error: float
    """Nine of ten made voices are measured as well, whatever else they are like: in the unit; of a ratio, as
    a share of the value."""
    least_snr_db: float
    """Level of speech over its background from which it is given."""
    least_spread: float
    """Of a speaker's baseline, on its scale: half of what a calm speaker's utterances differ by."""
    measure: Callable[[Speech, Mask], float | None]
    is_ratio: bool = False
    """Twice as much matters, not so much more: errors and baselines are of its logarithm."""

    def scaled(self, value: float) -> float:
        """A value on the scale of the baseline."""
        return math.log(max(value, 1e-3)) if self.is_ratio else value


CUES: Final = (
    Cue("pitch_median", "Hz", 0.05, 10, 0.04, pitch_median, is_ratio=True),
    Cue("pitch_range", "semitones", 0.5, 10, 0.8, pitch_range),
    Cue("energy_mean", "dBFS", 1.5, 10, 1.0, energy_mean),
    Cue("energy_over_noise", "dB", 4.5, 5, 1.5, energy_over_noise),
    Cue("energy_range", "dB", 2.5, 20, 0.85, energy_range),
    Cue("speaking_rate", "1/s", 0.15, 10, 0.06, speaking_rate, is_ratio=True),
    Cue("jitter", "%", 2.0, 25, 0.2, jitter),
    Cue("hnr", "dB", 4.5, 25, 0.65, hnr),
    Cue("spectral_tilt", "dB", 1.5, 15, 1.5, spectral_tilt),
)

WITHHELD: Final = (Cue("shimmer", "%", 2.5, 25, 1.3, shimmer),)
"""Measured for the docs alone: breath and jitter do more to it than what is to be measured."""


def measure(speech: Speech, where: Mask | None = None, cues: Sequence[Cue] = CUES) -> dict[str, float]:
    """Those of ``cues`` that can be measured, by name; only in the frames ``where`` says, if it does."""
    if not speech.measurable or speech.snr_db is None:
        return {}
    frames = np.ones(speech.frames.count, bool) if where is None else where
    found = {}
    for cue in cues:
        if speech.snr_db >= cue.least_snr_db:
            value = cue.measure(speech, frames)
            if value is not None and math.isfinite(value):
                found[cue.name] = value
    return found
