"""The way of a session stays short, whatever the session's length, and keeps its extremes."""

from __future__ import annotations

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.trajectory import MOST_POINTS, Trajectory


def summary_of(*levels: float) -> pb.SessionSummary:
    trajectory = Trajectory()
    for number, level in enumerate(levels):
        final = pb.AffectEvent(utterance_id=f"u{number}", top_label="sad")
        final.audio_end.seconds = number + 1
        final.dimensions.arousal = level
        trajectory.add(number % 2, final)
    summary = pb.SessionSummary()
    trajectory.write(summary)
    return summary


def test_a_short_session_is_there_as_a_whole() -> None:
    summary = summary_of(0.25, 0.75, 0.5)
    assert [(p.utterance_id, p.channel, p.dimensions.arousal) for p in summary.trajectory] == [
        ("u0", 0, 0.25),
        ("u1", 1, 0.75),
        ("u2", 0, 0.5),
    ]
    assert [point.audio_end.seconds for point in summary.trajectory] == [1, 2, 3]
    assert [(p.dimension, p.highest, p.utterance_id, p.value) for p in summary.peaks] == [
        ("arousal", True, "u1", 0.75),
        ("arousal", False, "u0", 0.25),
    ]


@pytest.mark.parametrize(
    ("finals", "every"), [(200, 1), (201, 2), (400, 2), (401, 4), (799, 4), (801, 8), (5_000, 32)]
)
def test_a_long_one_is_thinned_by_powers_of_two(finals: int, every: int) -> None:
    names = [point.utterance_id for point in summary_of(*[0.5] * finals).trajectory]
    assert names == [f"u{number}" for number in range(0, finals, every)]
    assert MOST_POINTS / 2 < len(names) <= MOST_POINTS


def test_extremes_are_kept_where_their_points_are_not() -> None:
    levels = [0.5] * 999
    levels[333], levels[501] = 0.99, 0.01
    summary = summary_of(*levels)
    assert "u333" not in {point.utterance_id for point in summary.trajectory}
    assert [peak.utterance_id for peak in summary.peaks] == ["u333", "u501"]


def test_nothing_scored_is_nothing_told() -> None:
    assert not summary_of().trajectory
    assert not summary_of().peaks
