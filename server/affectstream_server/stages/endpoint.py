"""Endpoint: how long a silence must last here before the utterance counts as ended.

A phrase that sounds finished needs little silence, one that breaks off needs much. What is heard
before a silence gives a logit of being finished; the hang-over is the usual one times e to its
negative, between `SHORTEST` and `LONGEST` times the usual. ``docs/segmentation.md`` says how the
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
_FINAL_BLOCKS: Final = 10
_FALL_BLOCKS: Final = 8
_SLOPE_BLOCKS: Final = 4
_LEAST_PROBABILITY: Final = 0.002
_DEEPEST_DB: Final = 30.0
_UNSURE: Final = -3.0
"""The doubt where nothing was heard yet."""


class Evidence(NamedTuple):
    """What the blocks from an utterance's onset to its latest silence say."""

    length: float
    """Natural logarithm of the speech so far in seconds, at most that of `ENOUGH_SPEECH_S`."""
    fall_db: float
    """The loudest of the last 8 blocks against the loudest before them."""
    final_db: float
    """The mean level of the last 10 blocks against the utterance's loud blocks (its 80th percentile)."""
    slope: float
    """Speech probability of the last block, less the greatest of the last 4: 0 breaks off, -0.6 fades."""
    doubt: float
    """Natural logarithm of the mean speech probability within the silence: -1.5 wavers, -5 is sure."""
    depth_db: float
    """How far the silence lies below the loud blocks, at most 30: little where it is noisy."""


class Weights(NamedTuple):
    """A logit of being finished, linear in the evidence."""

    bias: float
    evidence: Evidence

    def logit(self, evidence: Evidence) -> float:
        """Above 0: more likely finished than not, among the silences of the tuning talks."""
        return self.bias + sum(w * x for w, x in zip(self.evidence, evidence, strict=True))


WEIGHTS: Final = Weights(0.0, Evidence(length=0.0, fall_db=0.0, final_db=0.0, slope=0.0, doubt=0.0, depth_db=0.0))


class Phrase:
    """Listens to an utterance from its onset and chooses the hang-over of each of its silences."""

    def __init__(self, usual: int, weights: Weights = WEIGHTS) -> None:
        """``usual``: the usual hang-over in samples at 16 kHz."""
        self._usual = usual
        self._weights = weights
        self._probabilities: list[float] = []
        self._levels_db: list[float] = []
        self.shortest = round(usual * SHORTEST)
        """No hang-over is shorter; samples at 16 kHz."""
        self.longest = round(usual * LONGEST)
        """No hang-over is longer; samples at 16 kHz."""

    def begin(self) -> None:
        """An utterance may begin with the next block."""
        self._probabilities.clear()
        self._levels_db.clear()

    def hear(self, probability: float, level_db: float) -> None:
        """Take the next block: its speech probability and its level in dB against full scale."""
        self._probabilities.append(probability)
        self._levels_db.append(level_db)

    def evidence(self, silence: int, speech: int) -> Evidence:
        """What the utterance says, ``silence`` samples after its last speech; ``speech`` in samples."""
        return weigh(self._probabilities, self._levels_db, silence // BLOCK_SAMPLES, speech)

    def hangover(self, silence: int, speech: int) -> int:
        """The hang-over of the silence that has lasted ``silence`` samples, in samples at 16 kHz."""
        logit = self._weights.logit(self.evidence(silence, speech))
        wanted = self._usual * math.exp(min(4.0, max(-4.0, -logit)))
        return round(min(self.longest, max(self.shortest, wanted)))


def weigh(
    probabilities: Sequence[float], levels_db: Sequence[float], silent_blocks: int, speech: int
) -> Evidence:
    """The evidence in the blocks since an utterance's onset, of which the last ones are silent.

    Probabilities in 0..1 and levels in dB against full scale, one a block; ``speech`` in samples at 16 kHz.
    """
    length = math.log(min(max(speech, BLOCK_SAMPLES) / SAMPLE_RATE_HZ, ENOUGH_SPEECH_S))
    end = len(levels_db) - silent_blocks
    if end <= 0 or silent_blocks <= 0:
        return Evidence(length, 0.0, 0.0, 0.0, _UNSURE, 0.0)
    before, last = levels_db[: max(0, end - _FALL_BLOCKS)], levels_db[max(0, end - _FALL_BLOCKS) : end]
    final = levels_db[max(0, end - _FINAL_BLOCKS) : end]
    loud_db = sorted(levels_db[:end])[end * 4 // 5]
    silent_db = sum(levels_db[end:]) / silent_blocks
    return Evidence(
        length=length,
        fall_db=max(last) - max(before) if before else 0.0,
        final_db=sum(final) / len(final) - loud_db,
        slope=probabilities[end - 1] - max(probabilities[max(0, end - _SLOPE_BLOCKS) : end]),
        doubt=math.log(sum(probabilities[end:]) / silent_blocks + _LEAST_PROBABILITY),
        depth_db=min(_DEEPEST_DB, loud_db - silent_db),
    )
