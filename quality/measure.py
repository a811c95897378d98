"""The rules of scoring: what was found, split, merged, made up; how exact the edges; how late it was told.

A hypothesis finds an utterance where both overlap by at least 0.1 s. An utterance found by several
hypotheses is split; a boundary between two utterances that one hypothesis holds both sides of is
merged; a hypothesis that finds nothing is false. One to one: an utterance found by one hypothesis
that finds nothing else. Edges are compared on those alone, and so is the time of being told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from affectstream.contract import SAMPLE_RATE_HZ
from quality.talks import Span

FOUND_SAMPLES: Final = SAMPLE_RATE_HZ // 10


@dataclass(frozen=True, slots=True)
class Heard:
    """An utterance that a segmenter reported; positions in samples at 16 kHz."""

    span: Span
    told_at: int
    """Audio heard when its end was declared."""


@dataclass(slots=True)
class Score:
    """Counts over one talk or many; errors and delays in ms, one for each one-to-one utterance."""

    utterances: int = 0
    found: int = 0
    split: int = 0
    merged: int = 0
    false: int = 0
    one_to_one: int = 0
    cuts: int = 0
    """Hypotheses beyond the first of each utterance."""
    start_ms: list[float] = field(default_factory=list)
    end_ms: list[float] = field(default_factory=list)
    told_ms: list[float] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Count another talk too."""
        for name in ("utterances", "found", "split", "merged", "false", "one_to_one", "cuts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.start_ms += other.start_ms
        self.end_ms += other.end_ms
        self.told_ms += other.told_ms

    def summary(self) -> dict[str, float]:
        """Every figure, rounded to whole ms; not a number where nothing was one to one."""
        return {
            "utterances": self.utterances,
            "found": self.found,
            "split": self.split,
            "merged": self.merged,
            "false": self.false,
            "one_to_one": self.one_to_one,
            "cuts_per_utterance": round(self.cuts / max(1, self.found), 3),
            "start_ms": _median(self.start_ms),
            "start_abs_ms": _median([abs(v) for v in self.start_ms]),
            "end_ms": _median(self.end_ms),
            "end_abs_ms": _median([abs(v) for v in self.end_ms]),
            "told_ms": _median(self.told_ms),
            "told_p90_ms": _percentile(self.told_ms, 90),
        }


def score(truth: Sequence[Span], heard: Sequence[Heard]) -> Score:
    """Compare one talk's hypotheses with its true utterances."""
    finders = [[h for h in heard if h.span.overlap(u) >= FOUND_SAMPLES] for u in truth]
    finds = [sum(h.span.overlap(u) >= FOUND_SAMPLES for u in truth) for h in heard]
    result = Score(
        utterances=len(truth),
        found=sum(bool(f) for f in finders),
        split=sum(len(f) > 1 for f in finders),
        merged=sum(max(0, count - 1) for count in finds),
        false=sum(count == 0 for count in finds),
        cuts=sum(max(0, len(f) - 1) for f in finders),
    )
    alone = {id(h) for h, count in zip(heard, finds, strict=True) if count == 1}
    for utterance, found_by in zip(truth, finders, strict=True):
        if len(found_by) == 1 and id(found_by[0]) in alone:
            only = found_by[0]
            result.one_to_one += 1
            result.start_ms.append(_ms(only.span.start - utterance.start))
            result.end_ms.append(_ms(only.span.end - utterance.end))
            result.told_ms.append(_ms(only.told_at - utterance.end))
    return result


def _ms(samples: int) -> float:
    return samples * 1_000 / SAMPLE_RATE_HZ


def _median(values: Sequence[float]) -> float:
    return _percentile(values, 50)


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(round(float(np.percentile(values, percent)))) if values else float("nan")
