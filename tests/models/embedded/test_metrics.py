"""Every figure against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from affectstream_models import metrics

TRUTH = np.array([0, 0, 0, 0, 1, 1, 2])
TOLD = np.array([0, 0, 1, 2, 1, 0, 2])


def confident(values: list[float], right: list[bool]) -> tuple[metrics.Reals, metrics.Labels]:
    """Two-class probabilities with these confidences, and truths that make them right or wrong."""
    top = np.array(values)
    return np.stack([top, 1 - top], axis=1), np.where(right, 0, 1).astype(np.int64)


def test_softmax() -> None:
    np.testing.assert_allclose(metrics.softmax(np.log([[1.0, 3.0], [2.0, 2.0]])), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(metrics.softmax(np.array([[1e4, 0.0]])), [[1, 0]])


def test_confusion_has_the_truth_in_its_rows() -> None:
    np.testing.assert_array_equal(metrics.confusion(TRUTH, TOLD, 3), [[2, 1, 1], [1, 1, 0], [0, 0, 1]])


def test_recalls_and_their_mean() -> None:
    np.testing.assert_allclose(metrics.recalls(TRUTH, TOLD, 3), [0.5, 0.5, 1.0])
    assert metrics.unweighted_average_recall(TRUTH, TOLD, 3) == pytest.approx(2 / 3)


def test_a_class_without_clips_does_not_count() -> None:
    assert np.isnan(metrics.recalls(TRUTH, TOLD, 4)[3])
    assert metrics.unweighted_average_recall(TRUTH, TOLD, 4) == pytest.approx(2 / 3)
    assert metrics.macro_f1(TRUTH, TOLD, 4) == metrics.macro_f1(TRUTH, TOLD, 3)


def test_accuracy() -> None:
    assert metrics.accuracy(TRUTH, TOLD) == pytest.approx(4 / 7)


def test_macro_f1() -> None:
    # F1: 2·2/(4+3), 2·1/(2+2), 2·1/(1+2)
    assert metrics.macro_f1(TRUTH, TOLD, 3) == pytest.approx((4 / 7 + 1 / 2 + 2 / 3) / 3)


def test_reliability_bins_hold_as_many_clips_each() -> None:
    probabilities, truth = confident([0.9, 0.6, 0.8, 0.7], [True, False, True, False])
    low, high = metrics.reliability(probabilities, truth, bins=2)
    assert (low.clips, low.accuracy, high.clips, high.accuracy) == (2, 0.0, 2, 1.0)
    assert [low.confidence, high.confidence] == pytest.approx([0.65, 0.85])
    assert len(metrics.reliability(probabilities, truth, bins=10)) == 4


def test_calibration_error() -> None:
    probabilities, truth = confident([0.9, 0.6, 0.8, 0.7], [True, False, True, False])
    assert metrics.calibration_error(probabilities, truth, bins=2) == pytest.approx((0.65 + 0.15) / 2)
    assert metrics.calibration_error(probabilities, truth, bins=1) == pytest.approx(0.25)


def test_log_loss_weighs_classes_the_same() -> None:
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25]])
    expected = (np.log(2) + np.log(4)) / 2
    assert metrics.log_loss(probabilities, np.array([0, 0, 1])) == pytest.approx(expected)


def test_risk_falls_with_coverage_where_confidence_tells() -> None:
    probabilities, truth = confident([0.9, 0.8, 0.7, 0.6], [True, True, False, False])
    assert metrics.risk_coverage(probabilities, truth) == [0.5, pytest.approx(1 / 3), 0.0, 0.0]


def test_concordance() -> None:
    truth = np.array([0.0, 1.0, 2.0])
    assert metrics.concordance(truth, truth) == pytest.approx(1)
    assert metrics.concordance(truth, 2.0 - truth) == pytest.approx(-1)
    # covariance 2/3, variances 2/3 each, means 1 apart
    assert metrics.concordance(truth, truth + 1.0) == pytest.approx((4 / 3) / (4 / 3 + 1))
    assert metrics.concordance(np.zeros(3), np.zeros(3)) == 0


def test_halves_recall() -> None:
    high = np.array([True, True, True, True, False])
    assert metrics.halves_recall(np.array([0.9, 0.8, 0.5, 0.1, 0.2]), high) == pytest.approx((0.75 + 1) / 2)
    assert metrics.halves_recall(np.array([0.9, 0.1]), np.array([True, True])) == 0.5


def test_bootstrap_interval_covers_the_mean_and_is_seeded() -> None:
    values = np.random.default_rng(1).normal(5, 1, 400)
    low, high = metrics.bootstrap_interval(lambda drawn: float(values[drawn].mean()), 400)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.15)
    assert (low, high) == metrics.bootstrap_interval(lambda drawn: float(values[drawn].mean()), 400)
