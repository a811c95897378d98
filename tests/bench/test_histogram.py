"""Percentiles by hand, and merging."""

from __future__ import annotations

import pytest

from bench.histogram import Histogram

MS = 1_000_000
THREE_DIGITS = 0.001


def test_percentiles_of_a_hundred_times() -> None:
    times = Histogram(n * MS for n in range(1, 101))
    found = times.summary()
    assert found["count"] == 100
    for name, expected_ms in {"p50": 50, "p95": 95, "p99": 99, "p99.9": 100, "max": 100}.items():
        assert found[name] == pytest.approx(expected_ms, rel=THREE_DIGITS), name


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().summary() == dict.fromkeys(["p50", "p95", "p99", "p99.9", "max"]) | {"count": 0}


def test_merged_is_not_averaged() -> None:
    quick = Histogram([1 * MS] * 99)
    slow = Histogram([101 * MS])
    merged = quick.add(slow)
    assert merged.percentile_ms(99.0) == pytest.approx(1, rel=THREE_DIGITS)
    assert merged.percentile_ms(100.0) == pytest.approx(101, rel=THREE_DIGITS)
    assert len(merged) == 100


def test_text_and_back() -> None:
    times = Histogram([0, 1_500, 2 * MS, 3_000 * MS])
    again = Histogram.decode(times.encode())
    assert again.summary() == times.summary()
    assert len(again.add(times)) == 8


def test_a_negative_time_is_refused_and_an_endless_one_counts_as_ten_minutes() -> None:
    with pytest.raises(ValueError, match="end lies before its beginning"):
        Histogram([-1])
    assert Histogram([10**18]).percentile_ms(100.0) == pytest.approx(600_000, rel=THREE_DIGITS)


def test_counted_times_are_told_one_by_one() -> None:
    histogram = Histogram([3_000_000, 1_000_000, 3_000_000, 250_000_000])
    assert histogram.times_ms() == pytest.approx([1.0, 3.0, 3.0, 250.0], rel=0.001)
    assert Histogram().times_ms() == []
