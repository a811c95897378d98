"""Positions on a session's timeline.

Inside the server a position is a count of samples at 16 kHz; on the wire it is a duration or a
count of samples at the declared rate.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from affectstream.contract import SAMPLE_RATE_HZ

NS_PER_S = 1_000_000_000


def samples_of_ms(milliseconds: float) -> int:
    """Samples at 16 kHz in so many milliseconds."""
    return round(milliseconds * SAMPLE_RATE_HZ / 1_000)


def ms_of_samples(samples: int) -> float:
    """Milliseconds of so many samples at 16 kHz."""
    return samples * 1_000 / SAMPLE_RATE_HZ


def duration(samples: int) -> Duration:
    """A position or a length in samples at 16 kHz as a protobuf duration, exact to the nanosecond."""
    seconds, rest = divmod(samples, SAMPLE_RATE_HZ)
    return Duration(seconds=seconds, nanos=rest * (NS_PER_S // SAMPLE_RATE_HZ))


def to_rate(samples: int, rate_hz: int) -> int:
    """A position in samples at 16 kHz as samples at ``rate_hz``, rounded to the nearest."""
    if rate_hz == SAMPLE_RATE_HZ:
        return samples
    return (samples * rate_hz * 2 + SAMPLE_RATE_HZ) // (2 * SAMPLE_RATE_HZ)


def from_rate(samples: int, rate_hz: int) -> int:
    """A position in samples at ``rate_hz`` as samples at 16 kHz, rounded to the nearest."""
    if rate_hz == SAMPLE_RATE_HZ:
        return samples
    return (samples * SAMPLE_RATE_HZ * 2 + rate_hz) // (2 * rate_hz)
