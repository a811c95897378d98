"""Temperature and floors, where the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from affectstream_models.metrics import softmax
from affectstream_models.thresholds import NEVER, fit_floors, fit_temperature


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(factor: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 4))
    truth = np.array([rng.choice(4, p=row) for row in softmax(logits)])
    assert fit_temperature(logits * factor, truth) == pytest.approx(factor, rel=0.1)


def test_temperature_weighs_rare_classes_as_much() -> None:
    sure, unsure = [[4.0, 0.0]], [[1.0, 0.0]]
    logits = np.array(sure * 90 + unsure * 10)
    truth = np.array([0] * 90 + [1] * 10)
    # With equal weights the loss is flat where 4 σ(−4/T) = σ(1/T).
    inverse = 1 / fit_temperature(logits, truth)
    assert 4 / (1 + np.exp(4 * inverse)) == pytest.approx(1 / (1 + np.exp(-inverse)), rel=0.02)


def test_floor_is_the_lowest_that_is_right_often_enough() -> None:
    confidence = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.65, 0.6, 0.55])
    truth = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    floors = fit_floors(probabilities, truth, ("calm", "cross"), precision=0.8, least_clips=3)
    # From 0.61 on: five of six are right.
    assert floors["calm"] == pytest.approx(0.61)
    assert floors["cross"] == NEVER


def test_a_label_that_is_never_right_enough_is_given_up() -> None:
    probabilities = np.tile([0.9, 0.1], (10, 1))
    floors = fit_floors(probabilities, np.array([0, 1] * 5), ("calm", "cross"), precision=0.8)
    assert floors["calm"] == NEVER
