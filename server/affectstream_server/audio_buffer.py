"""The audio of one channel that is still needed, addressed by its position on the timeline."""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.stages.decode import Samples

PART_SAMPLES: Final = 4_096
"""Samples are kept and forgotten in parts of so many."""


class AudioBuffer:
    """Samples ``[start, end)`` of a timeline, int16 at 16 kHz, in parts of 256 ms.

    What is kept is never moved, and takes its own size and at most two parts more.
    """

    def __init__(self) -> None:
        self._parts: list[Samples] = []
        self._first = 0
        """Position where the first part begins."""
        self.start = 0
        """Position of the oldest sample kept."""
        self.end = 0
        """Position after the newest sample."""

    @property
    def allocated_bytes(self) -> int:
        """Memory that it holds."""
        return sum(part.nbytes for part in self._parts)

    def append(self, samples: Samples) -> None:
        """Add samples at the end."""
        taken = 0
        while taken < len(samples):
            index, place = divmod(self.end - self._first, PART_SAMPLES)
            if index == len(self._parts):
                self._parts.append(np.empty(PART_SAMPLES, np.int16))
            some = samples[taken : taken + PART_SAMPLES - place]
            self._parts[index][place : place + len(some)] = some
            taken += len(some)
            self.end += len(some)

    def view(self, start: int, end: int) -> Samples:
        """The samples ``[start, end)``, not to be changed. They must be kept."""
        parts = self._within(start, end)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def copy(self, start: int, end: int) -> Samples:
        """The samples ``[start, end)`` by themselves. They must be kept."""
        return np.concatenate(self._within(start, end))

    def _within(self, start: int, end: int) -> list[Samples]:
        if not self.start <= start <= end <= self.end:
            raise IndexError(f"[{start}, {end}) is not within [{self.start}, {self.end})")
        index, place = divmod(start - self._first, PART_SAMPLES)
        left = end - start
        if not left:
            return [np.empty(0, np.int16)]
        found = []
        while left > 0:
            found.append(self._parts[index][place : place + left])
            left -= len(found[-1])
            index, place = index + 1, 0
        return found

    def drop_before(self, position: int) -> None:
        """Forget what lies before ``position``."""
        position = min(position, self.end)
        if position > self.start:
            self.start = position
            if unneeded := (position - self._first) // PART_SAMPLES:
                del self._parts[:unneeded]
                self._first += unneeded * PART_SAMPLES

    def jump(self, position: int) -> None:
        """Forget everything and go on at ``position``, at or after the end."""
        if position < self.end:
            raise IndexError(f"{position} is before {self.end}")
        self._parts.clear()
        self._first = self.start = self.end = position

    def free(self) -> None:
        """Give everything back; nothing is read or added any more."""
        self.jump(self.end)
