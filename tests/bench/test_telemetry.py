"""The bench of telemetry: its ratio, and how sure it is."""

from __future__ import annotations

import random

import pytest

from bench.telemetry import figures, interval
from tests.bench.runs import made_run


def test_the_ratio_is_taken_within_each_pair() -> None:
    """The machine became three times as slow in the middle; the ratio did not."""
    pairs = [
        (made_run(cpu_s=slow), made_run(cpu_s=slow * (1.05 + 0.01 * (number % 3))))
        for number, slow in enumerate([1.0] * 6 + [3.0] * 6)
    ]
    found = figures(pairs)
    assert found["ratio"]["median"] == pytest.approx(1.06)
    assert (found["ratio"]["low"], found["ratio"]["high"]) == pytest.approx((1.05, 1.07))
    assert found["off"]["cpu_s_per_audio_hour"]["max"] == pytest.approx(30.0)


@pytest.mark.parametrize(("count", "low", "high"), [(6, 1, 6), (10, 2, 9), (12, 3, 10), (20, 6, 15)])
def test_the_interval_is_that_of_the_sign_test(count: int, low: int, high: int) -> None:
    """As tables have it, for 95 %."""
    values = list(range(1, count + 1))
    random.Random(1).shuffle(values)  # noqa: S311 - any order
    assert interval(values) == (low, high)


def test_a_few_values_are_not_made_surer_than_they_are() -> None:
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert interval([1.0]) == (1.0, 1.0)
