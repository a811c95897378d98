"""The way of a session: its scored utterances, thinned where there are many, and its extremes."""

from __future__ import annotations

from typing import Final

from affectstream.contract import DIMENSIONS
from affectstream.v1 import affect_pb2 as pb

MOST_POINTS: Final = 200
"""Beyond, every second is left out, then every second of those, and so on."""


class Trajectory:
    """Finals with status OK, in order."""

    def __init__(self) -> None:
        self._points: list[pb.TrajectoryPoint] = []
        self._peaks: dict[tuple[str, bool], pb.Peak] = {}
        self._count = 0
        self._every = 1

    def add(self, channel: int, final: pb.AffectEvent) -> None:
        """Count one in."""
        if self._count % self._every == 0:
            if len(self._points) == MOST_POINTS:
                self._points = self._points[::2]
                self._every *= 2
            if self._count % self._every == 0:
                self._points.append(_point(channel, final))
        self._count += 1
        for name in DIMENSIONS:
            if final.dimensions.HasField(name):
                self._extend(name, getattr(final.dimensions, name), final.utterance_id)

    def write(self, summary: pb.SessionSummary) -> None:
        """Put it into a summary."""
        summary.trajectory.extend(self._points)
        summary.peaks.extend(peak for _, peak in sorted(self._peaks.items(), key=_in_order))

    def _extend(self, name: str, value: float, utterance_id: str) -> None:
        for highest in (True, False):
            known = self._peaks.get((name, highest))
            if known is None or (value > known.value if highest else value < known.value):
                self._peaks[name, highest] = pb.Peak(
                    dimension=name, highest=highest, utterance_id=utterance_id, value=value
                )


def _in_order(entry: tuple[tuple[str, bool], pb.Peak]) -> tuple[int, bool]:
    (name, highest), _ = entry
    return DIMENSIONS.index(name), not highest


def _point(channel: int, final: pb.AffectEvent) -> pb.TrajectoryPoint:
    return pb.TrajectoryPoint(
        utterance_id=final.utterance_id,
        channel=channel,
        audio_end=final.audio_end,
        top_label=final.top_label,
        dimensions=final.dimensions,
    )
