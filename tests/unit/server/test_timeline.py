"""Positions: exact to the nanosecond, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from affectstream_server.timeline import duration, ms_of_samples, samples_of_ms, to_rate

EIGHT_HOURS = 8 * 3_600 * 16_000


@given(st.integers(0, EIGHT_HOURS))
def test_a_duration_gives_its_position_back(samples: int) -> None:
    message = duration(samples)
    nanoseconds = message.seconds * 1_000_000_000 + message.nanos
    assert nanoseconds * 16_000 == samples * 1_000_000_000
    assert 0 <= message.nanos < 1_000_000_000


@given(st.integers(0, EIGHT_HOURS), st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]))
def test_a_position_at_another_rate_is_the_nearest_sample(samples: int, rate_hz: int) -> None:
    assert abs(to_rate(samples, rate_hz) * 16_000 - samples * rate_hz) * 2 <= 16_000


def test_milliseconds_and_samples() -> None:
    assert samples_of_ms(32) == 512
    assert ms_of_samples(512) == 32.0
