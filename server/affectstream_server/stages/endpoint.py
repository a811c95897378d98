"""Endpoint: how long a silence must last here before the utterance counts as ended.

A phrase that sounds finished needs little silence, one that has only begun or breaks off needs much.
What is heard before a silence gives a logit of being finished; the hang-over is the usual one times e
to its negative, between `SHORTEST` and `LONGEST` times the usual. ``docs/segmentation.md`` says how the
weights were found; ``python -m quality tune`` finds them again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from affectstream.contract import BLOCK_SAMPLES, SAMPLE_RATE_HZ

SHORTEST: Final = 0.625
"""Of the usual hang-over: 160 ms of 256 ms."""
LONGEST: Final = 3.5
"""Of the usual hang-over: 896 ms of 256 ms."""
ENOUGH_SPEECH_S: Final = 1.5
"""Beyond this much speech its length says nothing more about whether the utterance is finished."""
_SLOPE_BLOCKS: Final = 4
_STEEPEST: Final = 4.0


class Evidence(NamedTuple):
    """What the blocks from an utterance's onset to its latest silence say."""

    length: float
    """Natural logarithm of the speech so far in seconds, at most that of `ENOUGH_SPEECH_S`."""
    slope: float
    """Speech probability of the last block, less the greatest of the last 4: 0 breaks off, -0.6 fades."""


class Weights(NamedTuple):
    """A logit of being finished, linear in the evidence."""

    bias: float
    length: float
    slope: float

    def logit(self, evidence: Evidence) -> float:
        """Above 0 the hang-over is shorter than usual, below 0 longer."""
        return self.bias + self.length * evidence.length + self.slope * evidence.slope


WEIGHTS: Final = Weights(bias=-2.36, length=7.0, slope=-2.0)


class Phrase:
    """Listens to an utterance from its onset and chooses the hang-over of each of its silences."""

    def __init__(self, usual: int, weights: Weights = WEIGHTS) -> None:
        """``usual``: the usual hang-over in samples at 16 kHz."""
        self._usual = usual
        self._weights = weights
        self._recent = [0.0] * _SLOPE_BLOCKS
        self.shortest = round(usual * SHORTEST)
        """No hang-over is shorter; samples at 16 kHz."""
        self.longest = round(usual * LONGEST)
        """No hang-over is longer; samples at 16 kHz."""

    def speak(self, probability: float) -> None:
        """Take the speech probability of the next block of speech."""
        del self._recent[0]
        self._recent.append(probability)

    def hangover(self, speech: int) -> int:
        """The hang-over after ``speech`` samples of speech; in samples at 16 kHz."""
        logit = self._weights.logit(weigh(self._recent, speech))
        wanted = self._usual * math.exp(min(_STEEPEST, max(-_STEEPEST, -logit)))
        return round(min(self.longest, max(self.shortest, wanted)))


def weigh(last: Sequence[float], speech: int) -> Evidence:
    """The evidence at the end of ``speech`` samples of speech.

    ``last``: the speech probabilities of its last 4 blocks, in 0..1.
    """
    seconds = max(speech, BLOCK_SAMPLES) / SAMPLE_RATE_HZ
    return Evidence(math.log(min(seconds, ENOUGH_SPEECH_S)), last[-1] - max(last))
