"""Times in a histogram that merges exactly, so that no percentile is ever averaged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

_MAX_US: Final = 600_000_000
_DIGITS: Final = 3

PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}


class Histogram:
    """Counts of times from 0 to 10 minutes, in µs, to three digits (0.1 %)."""

    def __init__(self, times_ns: Iterable[int] = ()) -> None:
        self._counts = HdrHistogram(1, _MAX_US, _DIGITS)
        for time_ns in times_ns:
            self.record_ns(time_ns)

    def __len__(self) -> int:
        return int(self._counts.get_total_count())

    def record_ns(self, time_ns: int) -> None:
        """Count a time. More than 10 minutes counts as 10 minutes; a negative one is a `ValueError`."""
        if time_ns < 0:
            raise ValueError(f"a time of {time_ns} ns: its end lies before its beginning")
        self._counts.record_value(min(time_ns // 1_000, _MAX_US))

    def add(self, other: Histogram) -> Self:
        """Merge the counts of ``other`` into this one."""
        self._counts.add(other._counts)
        return self

    def percentile_ms(self, percent: float) -> float | None:
        """The time in ms that ``percent`` of the counted times do not exceed; None if there are none."""
        if not len(self):
            return None
        return int(self._counts.get_value_at_percentile(percent)) / 1_000

    def times_ms(self) -> list[float]:
        """Every counted time, to three digits, in rising order."""
        found: list[float] = []
        for item in self._counts.get_recorded_iterator():
            found += [item.value_iterated_to / 1_000] * int(item.count_added_in_this_iter_step)
        return found

    def summary(self) -> dict[str, float | int | None]:
        """``count``, the `PERCENTILES` and ``max``, in ms."""
        figures: dict[str, float | int | None] = {"count": len(self)}
        figures |= {name: self.percentile_ms(percent) for name, percent in PERCENTILES.items()}
        figures["max"] = self.percentile_ms(100.0)
        return figures

    def encode(self) -> str:
        """The counts as text, in HdrHistogram's own format (V2, deflated, base64)."""
        return bytes(self._counts.encode()).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Self:
        """What `encode` wrote."""
        histogram = cls()
        histogram._counts = HdrHistogram.decode(text)
        return histogram
