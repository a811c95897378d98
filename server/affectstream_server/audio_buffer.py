"""The audio of one channel that is still needed, addressed by its position on the timeline."""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.stages.decode import Samples

_STEP: Final = 2_048
"""Room is taken in such steps, and so much to spare; of what is long, an eighth to spare."""


class AudioBuffer:
    """Samples ``[start, end)`` of a timeline, int16 at 16 kHz. Grows and shrinks with what is kept."""

    def __init__(self) -> None:
        self._data: Samples = np.empty(0, np.int16)
        self._offset = 0
        self.start = 0
        """Position of the oldest sample kept."""
        self.end = 0
        """Position after the newest sample."""

    @property
    def allocated_bytes(self) -> int:
        """Memory that it holds."""
        return self._data.nbytes

    def has_space(self, count: int) -> bool:
        """So many samples can be added without moving or growing what is kept."""
        return self._offset + self.end - self.start + count <= len(self._data)

    def append(self, samples: Samples) -> None:
        """Add samples at the end."""
        kept = self.end - self.start
        needed = kept + len(samples)
        if self._offset + needed > len(self._data):
            self._move(needed)
        place = self._offset + kept
        self._data[place : place + len(samples)] = samples
        self.end += len(samples)

    def view(self, start: int, end: int) -> Samples:
        """The samples ``[start, end)``, valid until the next append. They must be kept."""
        if not self.start <= start <= end <= self.end:
            raise IndexError(f"[{start}, {end}) is not within [{self.start}, {self.end})")
        shift = self._offset - self.start
        return self._data[start + shift : end + shift]

    def drop_before(self, position: int) -> None:
        """Forget what lies before ``position``."""
        position = min(position, self.end)
        if position > self.start:
            self._offset += position - self.start
            self.start = position

    def jump(self, position: int) -> None:
        """Forget everything and go on at ``position``, at or after the end."""
        if position < self.end:
            raise IndexError(f"{position} is before {self.end}")
        self._offset = 0
        self.start = self.end = position

    def free(self) -> None:
        """Give everything back; nothing is read or added any more."""
        self._data = np.empty(0, np.int16)
        self._offset = 0
        self.start = self.end

    def _move(self, needed: int) -> None:
        kept = self.view(self.start, self.end)
        size = -(-(needed + max(needed // 8, _STEP)) // _STEP) * _STEP
        if size == len(self._data):
            self._data[: len(kept)] = kept.copy()
        else:
            grown: Samples = np.empty(size, np.int16)
            grown[: len(kept)] = kept
            self._data = grown
        self._offset = 0
