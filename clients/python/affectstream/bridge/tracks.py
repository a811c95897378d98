"""A call's tracks, which come one by one, as channels of one timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SLACK_MS: Final = 60
"""A time stamp this near to the end of a track's audio means its end: clocks of providers are rough."""
LAG_MS: Final = 200
"""How long a track waits for the other; then it is taken for silent there."""
HOLE_MS: Final = 1_000
"""A hole in one of two tracks up to here is silence, a longer one a gap in both."""


class Tracks:
    """Holds at most `LAG_MS` and what one message brings.

    Args:
        names: One or two tracks; their order is that of the channels.
        rate_hz: Of both.
        silence: One sample of it, encoded; a sample is a byte.
    """

    def __init__(self, names: Sequence[str], rate_hz: int, silence: int) -> None:
        self._held: Final = {name: bytearray() for name in names}
        self._rate_hz: Final = rate_hz
        self._silence: Final = bytes([silence])
        self._at = 0
        self._origin_ms: int | None = None

    def add(self, name: str, data: bytes, timestamp_ms: int | None) -> list[tuple[int, bytes]]:
        """Take some audio of one track.

        Args:
            name: Tracks that were not asked for are ignored.
            data: Samples.
            timestamp_ms: Where they begin on the provider's clock; the first one is position 0. None: right
                after the audio before.

        Returns:
            Positions, in samples, and interleaved audio from there, of at most one second each.
        """
        if name not in self._held:
            return []
        held, ready = self._held[name], []
        begin = end = self._at + len(held)
        if timestamp_ms is not None:
            if self._origin_ms is None:
                self._origin_ms = timestamp_ms
            told = self._samples(timestamp_ms - self._origin_ms)
            if abs(told - end) > self._samples(SLACK_MS):
                begin = told
        if begin > end + (self._samples(HOLE_MS) if len(self._held) > 1 else 0):
            ready = self.rest()
            self._at = begin
        elif begin > end:
            held.extend(self._silence * (begin - end))
        elif begin < end:
            data = data[end - begin :]
        held.extend(data)
        return ready + self._take(self._samples(LAG_MS))

    def rest(self) -> list[tuple[int, bytes]]:
        """What is held, as `add` returns it; afterwards nothing is."""
        return self._take(0)

    def _take(self, lag: int) -> list[tuple[int, bytes]]:
        lengths = [len(held) for held in self._held.values()]
        count = max(min(lengths), max(lengths) - lag)
        ready = []
        while count > 0:
            taken = min(count, self._rate_hz)
            mixed = bytearray(taken * len(self._held))
            for channel, held in enumerate(self._held.values()):
                mixed[channel :: len(self._held)] = held[:taken].ljust(taken, self._silence)
                del held[:taken]
            ready.append((self._at, bytes(mixed)))
            self._at += taken
            count -= taken
        return ready

    def _samples(self, ms: int) -> int:
        return ms * self._rate_hz // 1_000
