"""When frames are due, by hand."""

from __future__ import annotations

import pytest

from bench.scenario import Scenario, Schedule

MS = 1_000_000
ORIGIN_NS = 5_000 * MS
TWO = Scenario(streams=2, frame_ms=20, seconds=5.0, warmup_s=1.5, ramp_s=0.5)
# 25 periods of 20 ms to start in: the second stream begins in period 12, and half a frame later.
SECOND_STARTS_MS = 12 * 20 + 10


def test_streams_start_apart_and_between_each_others_frames() -> None:
    schedule = Schedule(TWO, ORIGIN_NS)
    assert schedule.due_ns(0, 0) == ORIGIN_NS
    assert schedule.due_ns(0, 7) == ORIGIN_NS + 140 * MS
    assert schedule.due_ns(1, 0) == ORIGIN_NS + SECOND_STARTS_MS * MS
    assert schedule.due_ns(1, 7) == ORIGIN_NS + (SECOND_STARTS_MS + 140) * MS


@pytest.mark.parametrize(
    ("position", "frame"), [(0, 0), (1, 0), (320, 0), (321, 1), (512, 1), (640, 1), (641, 2)]
)
def test_a_position_is_due_with_the_frame_of_the_sample_before_it(position: int, frame: int) -> None:
    schedule = Schedule(TWO, ORIGIN_NS)
    assert schedule.due_of_position_ns(1, position) == schedule.due_ns(1, frame)


def test_the_window_lies_between_the_last_start_and_the_first_end() -> None:
    schedule = Schedule(TWO, ORIGIN_NS)
    start_ns, end_ns = schedule.window_ns
    assert (start_ns, end_ns) == (ORIGIN_NS + 2_000 * MS, ORIGIN_NS + 7_000 * MS)
    assert TWO.frames == 350
    assert schedule.due_ns(1, 0) < start_ns - round(TWO.warmup_s * 1e9) + TWO.frame_ns
    assert schedule.due_ns(0, TWO.frames - 1) == end_ns - TWO.frame_ns


@pytest.mark.parametrize("scenario", [TWO, Scenario(7, 30, 1.0), Scenario(1, 1_000, 2.5), Scenario(100, 100)])
def test_slots_in_order_are_every_frame_once_in_order_of_time(scenario: Scenario) -> None:
    """What the driver walks through: period by period, stream by stream."""
    schedule = Schedule(scenario, 0)
    sent = dict.fromkeys(range(scenario.streams), 0)
    last_ns = -1
    for period in range(scenario.periods):
        for stream in range(scenario.streams):
            due_ns = scenario.slot_ns(period, stream)
            assert due_ns >= last_ns
            last_ns = due_ns
            frame = period - scenario.start_period(stream)
            if 0 <= frame < scenario.frames:
                assert due_ns == schedule.due_ns(stream, frame)
                sent[stream] += 1
    assert set(sent.values()) == {scenario.frames}
