"""Time-outs and positions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream.timeouts import Timeouts, finite
from affectstream.values import AudioTime, Timing


@given(rate_hz=st.integers(8_000, 48_000), sample=st.integers(0, 48_000 * 3_600 * 8))
def test_a_sample_comes_back_from_its_position(rate_hz: int, sample: int) -> None:
    """Eight hours at every rate: the wire rounds to 1 ns, and the sample is still the same."""
    ns = (sample * 1_000_000_000 + rate_hz // 2) // rate_hz
    assert AudioTime(ns).samples(rate_hz) == sample


def test_positions_are_ordered_and_subtract() -> None:
    early, late = AudioTime(1_250_000_000), AudioTime(2_000_000_000)
    assert early < late
    assert (late - early).seconds == 0.75
    assert str(early) == "1.250 s"


@pytest.mark.parametrize("value", [0, -1.0, math.nan])
@pytest.mark.parametrize("name", ["connect_s", "session_start_s", "call_s", "idle_s"])
def test_a_timeout_must_be_above_zero(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Timeouts\.{name} must be above 0"):
        Timeouts(**{name: value})


def test_waiting_for_ever_can_be_asked_for() -> None:
    assert finite(Timeouts(idle_s=math.inf).idle_s) is None
    assert finite(Timeouts().connect_s) == 5.0


def test_server_time_is_the_sum_of_the_stages_that_are_given() -> None:
    timing = Timing(
        hangover_ms=256,
        decision_ms=1.5,
        queue_ms=None,
        inference_queue_ms=None,
        compute_ms=2.0,
        decide_ms=0.5,
        speculated=False,
    )
    assert timing.server_ms == 4.0, "the hang-over is policy, not time spent"
