"""Saliency: which parts of an utterance its score rests on.

By the model's own attention where it has one; else by leaving parts out and looking what changes. That is
occlusion, as in M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV
2014: it asks nothing of a model but scores. Each part is left out twice, in holes that overlap by half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import ATTENTION_FRAME_SAMPLES, SAMPLE_RATE_HZ
from affectstream_server.cues.frames import HOP, WINDOW, Mask
from affectstream_server.stages.decode import Samples
from affectstream_server.timeline import samples_of_ms

MOST_HOLES: Final = 12
"""Scores beside an utterance's own."""
MOST_SAMPLES: Final = 120 * SAMPLE_RATE_HZ
"""Of audio that is scored for one utterance; a longer one gets fewer, wider holes, at least four."""
MOST_SPANS: Final = 4

_LEAST_HOLES: Final = 4
_LEAST_STEP: Final = samples_of_ms(100)
_LEAST_DROP: Final = 0.02
"""Of the top label's log-probability by leaving a part out; below it, no part weighs more than another."""
_LEAST_OVER_EVEN: Final = 1.1
"""Attention on a part over an even share of it; below it, no part weighs more than another."""
_SHARE: Final = 0.6
"""Of the whole weight that the spans hold together, in as few steps as will do."""
_FADE: Final = samples_of_ms(5)
_OUT: Final = np.linspace(1, 0, _FADE + 2)[1:-1]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an utterance, in samples from its start; ``end`` is exclusive."""

    start: int
    end: int
    weight: float = 0.0
    """Share of the whole weight, 0..1."""


def holes(samples: int) -> list[Span]:
    """The parts to leave out of an utterance, overlapping by half; none of one below 300 ms."""
    most = min(MOST_HOLES, max(_LEAST_HOLES, MOST_SAMPLES // max(1, samples)), samples // _LEAST_STEP + 1)
    if most < _LEAST_HOLES:
        return []
    bounds = np.linspace(0, samples, most).round().astype(int).tolist()
    bounds = [0, *bounds, samples]
    return [Span(bounds[i], bounds[i + 2]) for i in range(most)]


def without(audio: Samples, hole: Span) -> Samples:
    """int16 ``[n]``, silent in the hole, without a click at its edges."""
    left = audio.copy()
    left[hole.start : hole.end] = 0
    for outside, ramp in (
        (slice(max(0, hole.start - _FADE), hole.start), _OUT),
        (slice(hole.end, min(len(audio), hole.end + _FADE)), _OUT[::-1]),
    ):
        length = outside.stop - outside.start
        left[outside] = (left[outside] * (ramp[_FADE - length :] if ramp is _OUT else ramp[:length])).astype(
            np.int16
        )
    return left


def spans(samples: int, probability: float, without_hole: NDArray[np.floating[Any]]) -> list[Span]:
    """At most four spans that the top label rests on, in order.

    ``probability`` is the label's of the whole; ``without_hole[holes]`` without each of the `holes`. None
    where no part weighs more than another.
    """
    drops = math.log(max(probability, 1e-6)) - np.log(np.maximum(without_hole, 1e-6))
    steps = np.maximum((drops[:-1] + drops[1:]) / 2, 0)
    return _heaviest(samples, steps) if len(steps) and steps.max() >= _LEAST_DROP else []


def attended(samples: int, attention: NDArray[np.floating[Any]]) -> list[Span]:
    """At most four spans that the model looked at most, in order.

    ``attention[frames]`` is what it looked at each `ATTENTION_FRAME_SAMPLES`, 0 or more. None of an
    utterance below 300 ms, and where it looked everywhere alike.
    """
    count = min(MOST_HOLES, samples // _LEAST_STEP + 1) - 1
    if count < _LEAST_HOLES - 1:
        return []
    looked = np.concatenate([[0.0], np.cumsum(attention, dtype=float)])
    at = np.linspace(0, samples, count + 1) / ATTENTION_FRAME_SAMPLES
    steps = np.diff(np.interp(at, np.arange(len(looked)), looked))
    return _heaviest(samples, steps) if steps.max() > _LEAST_OVER_EVEN * steps.mean() else []


def _heaviest(samples: int, steps: NDArray[np.floating[Any]]) -> list[Span]:
    """``steps`` are the weights of equal parts of the utterance, 0 or more and not all 0."""
    shares = steps / steps.sum()
    order = np.argsort(-shares, kind="stable")
    needed = int(np.searchsorted(np.cumsum(shares[order]), _SHARE)) + 1
    chosen = np.zeros(len(shares) + 2, bool)
    chosen[order[:needed] + 1] = True
    edges = np.flatnonzero(chosen[1:] != chosen[:-1]).reshape(-1, 2)
    bounds = np.linspace(0, samples, len(shares) + 1).round().astype(int)
    found = [
        Span(int(bounds[start]), int(bounds[end]), float(min(1, shares[start:end].sum())))
        for start, end in edges.tolist()
    ]
    heaviest = sorted(found, key=lambda span: -span.weight)[:MOST_SPANS]
    return sorted(heaviest, key=lambda span: span.start)


def inside(chosen: list[Span], frames: int) -> Mask:
    """Frames whose middle lies in one of the spans, ``[frames]``."""
    middles = np.arange(frames) * HOP + WINDOW // 2
    mask = np.zeros(frames, bool)
    for span in chosen:
        mask |= (middles >= span.start) & (middles < span.end)
    return mask
