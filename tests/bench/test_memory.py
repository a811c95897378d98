"""Memory: of a real server for a moment, and growth by hand."""

from __future__ import annotations

import pytest

from bench.machine import Cores
from bench.memory import growth, measure
from bench.talks import find


def test_growth_is_that_of_the_second_half() -> None:
    samples = [(float(at), 1_000.0 * min(at, 50)) for at in range(100)]
    found = growth(samples)
    assert found["growth_kib_per_hour"] == pytest.approx(0.0, abs=0.1)
    assert (found["rss_kib_middle"], found["rss_kib_end"]) == (50_000.0, 50_000.0)
    leaking = growth([(float(at), 100_000.0 + at) for at in range(100)])
    assert leaking["growth_kib_per_hour"] == pytest.approx(3_600.0)


async def test_idle_streams_and_an_open_utterance_take_some() -> None:
    found = await measure(
        idle_streams=50, speaking=20, minutes=0.05, file=find(environ={}).paths[0], cores=Cores(None, None)
    )
    assert 1 < found["idle"]["kib_per_stream"] < 500
    assert 16 < found["utterance"]["kib_per_second"] < 200  # 16 kHz of 16 bits alone are 31
    assert found["churn"]["calls"] >= 20
