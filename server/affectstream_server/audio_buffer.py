"""The audio of one channel that is still needed, addressed by its position on the timeline."""

from __future__ import annotations

from typing import Final

import numpy as np

from affectstream_server.stages.decode import Samples

_SMALLEST: Final = 4_096


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

    def _move(self, needed: int) -> None:
        kept = self.view(self.start, self.end)
        size = _SMALLEST
        while size < needed * 3 // 2:
            size *= 2
        if size == len(self._data):
            self._data[: len(kept)] = kept.copy()
        else:
            grown: Samples = np.empty(size, np.int16)
            grown[: len(kept)] = kept
            self._data = grown
        self._offset = 0
