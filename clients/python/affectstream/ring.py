"""The newest audio of a stream, by position, so that a new call can be given it again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_RUNS_A_RING: Final = 16
"""A run is cut here, so that dropping the oldest audio moves little."""


@dataclass(slots=True)
class _Run:
    start: int
    data: bytearray


class Ring:
    """At most `capacity` samples of every channel; the oldest fall out.

    Positions only grow: what is added below `end` was added before and is left out.
    """

    def __init__(self, frame_bytes: int, capacity: int) -> None:
        self._frame_bytes = frame_bytes
        self._most_run_bytes = max(1, capacity // _RUNS_A_RING) * frame_bytes
        self._runs: deque[_Run] = deque()
        self._bytes = 0
        self.capacity: Final = capacity
        self.end = 0
        """Position after the newest audio."""
        self.start = 0
        """Position of the oldest audio that is kept; audio before it has fallen out."""

    def add(self, data: bytes, start: int | None = None) -> None:
        """Add whole frames at position `start`, or after the audio before."""
        start = self.end if start is None else start
        if start < self.end:
            data = data[(self.end - start) * self._frame_bytes :]
            start = self.end
        if not data:
            return
        last = self._runs[-1] if self._runs else None
        goes_on = last is not None and start == self._end_of(last)  # a jump may lie between
        if last is None or not goes_on or len(last.data) + len(data) > self._most_run_bytes:
            self._runs.append(_Run(start, bytearray(data)))
        else:
            last.data += data
        self._bytes += len(data)
        self.end = start + len(data) // self._frame_bytes
        self._drop()

    def frames(self, data: bytes) -> int:
        """How many samples of every channel these bytes are."""
        return len(data) // self._frame_bytes

    def jump(self, position: int) -> None:
        """The audio goes on at `position`, unless it is there already."""
        self.end = max(self.end, position)

    def read(self, position: int, until: int, most: int) -> tuple[int, bytes]:
        """Up to `most` samples of one piece from `position` on, and where they begin.

        They begin later where audio is missing, and there are none where nothing lies before `until`.
        """
        found = _Run(until, bytearray())
        for run in reversed(self._runs):
            if self._end_of(run) <= position:
                break
            found = run
        start = max(found.start, position)
        count = min(most, until - start, self._end_of(found) - start)
        if count <= 0:
            return until, b""
        first = (start - found.start) * self._frame_bytes
        return start, bytes(found.data[first : first + count * self._frame_bytes])

    def _end_of(self, run: _Run) -> int:
        return run.start + len(run.data) // self._frame_bytes

    def _drop(self) -> None:
        excess = self._bytes - self.capacity * self._frame_bytes
        while excess > 0:
            run = self._runs[0]
            cut = min(excess, len(run.data))
            if cut == len(run.data):
                self._runs.popleft()
            else:
                del run.data[:cut]
                run.start += cut // self._frame_bytes
            self._bytes -= cut
            excess -= cut
            self.start = self._runs[0].start if self._runs else self.end
