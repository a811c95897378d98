"""Figures for judging a classifier; plain numpy.

Shapes: labels are class indices int64 [clips]; probabilities float [clips, classes] with rows summing to 1.
A clip's confidence is the probability of its likeliest class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def softmax(logits: npt.NDArray[np.floating[Any]]) -> Reals:
    """Probabilities over the last axis."""
    shifted = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits, axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def confusion(truth: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts [classes, classes]: rows are the truth, columns what was told."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def recalls(truth: Labels, predicted: Labels, classes: int) -> Reals:
    """Share of each class's clips that were told, 0..1 [classes]; NaN for a class without clips."""
    counts = confusion(truth, predicted, classes)
    return _ratio(np.diag(counts), counts.sum(axis=1), np.nan)


def unweighted_average_recall(truth: Labels, predicted: Labels, classes: int) -> float:
    """Mean recall over the classes that have clips, 0..1."""
    return float(np.nanmean(recalls(truth, predicted, classes)))


def accuracy(truth: Labels, predicted: Labels) -> float:
    """Share of clips told rightly, 0..1."""
    return float(np.mean(truth == predicted))


def macro_f1(truth: Labels, predicted: Labels, classes: int) -> float:
    """Mean F1 over the classes that have clips, 0..1."""
    counts = confusion(truth, predicted, classes)
    actual = counts.sum(axis=1)
    f1 = _ratio(2 * np.diag(counts), actual + counts.sum(axis=0), 0.0)
    return float(np.mean(f1[actual > 0]))


@dataclass(frozen=True, slots=True)
class Bin:
    """Clips of like confidence."""

    clips: int
    confidence: float
    """Mean, 0..1."""
    accuracy: float


def reliability(probabilities: Reals, truth: Labels, bins: int = 10) -> list[Bin]:
    """Clips in order of confidence, in `bins` parts of equal size (or a clip each, where there are fewer)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return [Bin(len(part), float(confidence[part].mean()), float(right[part].mean())) for part in parts]


def calibration_error(probabilities: Reals, truth: Labels, bins: int = 10) -> float:
    """Expected calibration error with bins of equal size, 0..1: mean distance of confidence and accuracy."""
    parts = reliability(probabilities, truth, bins)
    return sum(part.clips * abs(part.confidence - part.accuracy) for part in parts) / len(truth)


def log_loss(probabilities: Reals, truth: Labels) -> float:
    """Mean −log of the true class's probability, in nats; every class that has clips weighs the same."""
    told = -np.log(probabilities[np.arange(len(truth)), truth] + 1e-12)
    return float(np.mean([told[truth == label].mean() for label in np.unique(truth)]))


def risk_coverage(
    probabilities: Reals, truth: Labels, coverages: Sequence[float] = (1.0, 0.75, 0.5, 0.25)
) -> list[float]:
    """Share of errors, 0..1, among the most confident part of the clips, for each coverage 0..1."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    wrong = (probabilities.argmax(axis=1) != truth)[order]
    return [float(wrong[: max(1, round(coverage * len(wrong)))].mean()) for coverage in coverages]


def concordance(truth: Reals, predicted: Reals) -> float:
    """Lin's concordance correlation coefficient (CCC), −1..1; 0 where both are constant."""
    spread = truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2
    if spread == 0:
        return 0.0
    return float(2 * np.mean((truth - truth.mean()) * (predicted - predicted.mean())) / spread)


def halves_recall(values: Reals, high: npt.NDArray[np.bool_], threshold: float = 0.5) -> float:
    """Mean of the shares of high clips at or above the threshold and of low clips below it, 0..1."""
    above = values >= threshold
    shares = [
        float(np.mean(above[mine] == side)) for side, mine in ((True, high), (False, ~high)) if mine.any()
    ]
    return float(np.mean(shares))


def bootstrap_interval(
    figure: Callable[[npt.NDArray[np.int64]], float],
    clips: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a figure that is computed from the indices of clips drawn with replacement."""
    rng = np.random.default_rng(seed)
    drawn = [figure(rng.integers(clips, size=clips)) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64], empty: float) -> Reals:
    return np.where(whole > 0, part / np.maximum(whole, 1), empty)
