"""Figures for judging a classifier; plain numpy. Labels are class indices int64 [clips]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def recalls(truth: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.float64]:
    """Share of each class's clips that were told, 0..1 [classes]; NaN for a class without clips."""
    found = np.full(classes, np.nan)
    for label in range(classes):
        mine = truth == label
        if mine.any():
            found[label] = float(np.mean(predicted[mine] == label))
    return found


def unweighted_average_recall(truth: Labels, predicted: Labels, classes: int) -> float:
    """Mean recall over the classes that have clips, 0..1."""
    return float(np.nanmean(recalls(truth, predicted, classes)))
