"""When to trust a label: the temperature of the logits, and floors below which a label is not named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from affectstream_models.metrics import Labels, Reals, log_loss, softmax

TEMPERATURES = np.geomspace(0.25, 8, 201)
FLOORS = np.arange(30, 96) / 100
NEVER = 1.01
"""A floor that no probability reaches: the label is never named."""


def fit_temperature(logits: npt.NDArray[np.floating[Any]], truth: Labels) -> float:
    """The temperature, 0.25 to 8, under which the truth is likeliest, classes weighing the same.

    Args:
        logits: [clips, classes].
        truth: class indices [clips].
    """
    losses = [log_loss(softmax(logits / temperature), truth) for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def fit_floors(
    probabilities: Reals,
    truth: Labels,
    labels: Sequence[str],
    *,
    precision: float,
    least: float = 0.3,
    least_clips: int = 5,
    given_up: Collection[str] = (),
) -> dict[str, float]:
    """The lowest floor, from `least` up, for each label at which it is right often enough when it is named.

    A label of `given_up`, or that never reaches `precision`, 0..1, on at least `least_clips` named clips, is
    never named: `NEVER`.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    floors = {}
    for index, label in enumerate(labels):
        told = predicted == index
        floors[label] = NEVER
        for floor in FLOORS[least <= FLOORS] if label not in given_up else ():
            named = told & (confidence >= floor)
            if named.sum() < least_clips:
                break
            if np.mean(truth[named] == index) >= precision:
                floors[label] = round(float(floor), 2)
                break
    return floors
