"""The simulated event loop: what it takes, how late it is, and where it breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from affectstream.capacity.core import Costs, Load, simulate

COSTS = Costs(wake_s=5e-5, message_s=5e-5, block_s=3e-5, embedded_s=2e-3, request_s=1e-3)
LOAD = Load(streams=50, frame_ms=20, scores_per_s=0.4, score_s=1e-3, seconds=2.0)


def test_everything_that_comes_is_done_and_paid_for() -> None:
    found = simulate(LOAD, COSTS)
    assert found.messages_per_s == pytest.approx(50 * 50, rel=0.01)
    assert found.blocks_per_s == pytest.approx(50 * 31.25, rel=0.02)
    assert found.scores_per_s == pytest.approx(50 * 0.4, rel=0.5)
    paid = (
        found.wakes_per_s * COSTS.wake_s
        + found.messages_per_s * COSTS.message_s
        + found.blocks_per_s * COSTS.block_s
        + found.scores_per_s * LOAD.score_s
    )
    assert found.share == pytest.approx(paid, rel=0.01)


def test_it_is_the_same_each_time() -> None:
    assert simulate(LOAD, COSTS).decision_ms.tolist() == simulate(LOAD, COSTS).decision_ms.tolist()


def test_a_block_waits_for_its_tick_and_little_more() -> None:
    idle = simulate(replace(LOAD, streams=20), COSTS).decision_ms
    assert 3 < np.percentile(idle, 50) < 9
    assert idle.max() < 12
    assert np.percentile(simulate(replace(LOAD, tick_s=0.032), COSTS).decision_ms, 50) > 15


def test_a_busy_loop_shares_its_wake_ups() -> None:
    few, many = (simulate(replace(LOAD, streams=streams), COSTS) for streams in (20, 120))
    assert many.wakes_per_s / 120 < 0.85 * few.wakes_per_s / 20
    assert many.share / 120 < few.share / 20


def test_a_core_that_cannot_keep_up_is_later_the_longer_it_lasts() -> None:
    short, long = (simulate(replace(LOAD, streams=600, seconds=seconds), COSTS) for seconds in (1.0, 4.0))
    assert short.share == long.share == pytest.approx(1.0)
    assert np.median(short.decision_ms) > 150
    assert np.median(long.decision_ms) > 1.5 * np.median(short.decision_ms)
    assert len(long.decision_ms) == pytest.approx(4.0 * 600 * 31.25, rel=0.02)  # late, and none is lost
