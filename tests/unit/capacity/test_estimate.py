"""What some number of calls takes, from made-up figures whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from affectstream.capacity.assumptions import DEFAULTS, GPUS
from affectstream.capacity.core import simulate
from affectstream.capacity.estimate import Estimate, Plan, Tier, estimate
from affectstream.capacity.fit import load_of, streams_per_core
from tests.unit.capacity.made import COSTS, made

pytestmark = pytest.mark.xdist_group("capacity")

ON_H100 = Plan(gpu=GPUS["h100"])


def tier(found: Estimate, unit: str) -> Tier:
    return next(one for one in found.tiers if unit in one.unit)


def test_a_core_is_filled_as_far_as_was_asked() -> None:
    streams = streams_per_core(made(), COSTS, "recorded", 100, 0.7)
    shares = [
        simulate(load_of(made(), COSTS, "recorded", number, 100), COSTS).share
        for number in (streams, round(1.1 * streams))
    ]
    assert shares[0] <= 0.7 < shares[1]
    assert streams > streams_per_core(made(), COSTS, "recorded", 20, 0.7)  # short messages cost more


def test_utterances_scores_and_bytes_are_those_of_the_calls() -> None:
    found = estimate(1_000, made(), COSTS, ON_H100)
    assert found.utterances_per_s == pytest.approx(1_000 * 18 / 60)
    assert found.scores_per_s == pytest.approx(300 / 0.8)  # a fifth is thrown away
    assert found.audio_gbit_s == pytest.approx(1_000 * (32_000 + 10 * 134) * 8 / 1e9)
    assert found.scoring_gbit_s == pytest.approx(375 * 1.92e6 * 8 / 1e9)
    processes = tier(found, "core").needed(1_000)[1]
    assert found.memory_gib == pytest.approx((processes * 128 + 1_000 / 16) / 1_024)


def test_twice_the_calls_take_twice_as_much_and_never_more() -> None:
    once, twice = (estimate(calls, made(), COSTS, ON_H100) for calls in (100_000, 200_000))
    for before, after in zip(once.tiers, twice.tiers, strict=True):
        for old, new in zip(before.needed(100_000), after.needed(200_000), strict=True):
            assert 2 * old - 1 <= new <= 2 * old


def test_a_gpu_by_its_data_sheet_is_a_range_and_a_measured_one_is_not() -> None:
    least, most = tier(estimate(100_000, made(), COSTS, ON_H100), "GPU").needed(100_000)
    assert least < most
    least, most = tier(estimate(100_000, made(), COSTS, replace(ON_H100, gpu_per_s=300.0)), "GPU").needed(
        100_000
    )
    assert least == most
    assert least >= 37_500 / 300  # it can do no more than was measured


def test_without_a_gpu_nothing_goes_to_one_and_cores_do_more() -> None:
    found = estimate(1_000, made(), COSTS, Plan())
    assert all("GPU" not in one.name for one in found.tiers)
    assert found.scoring_gbit_s == 0
    assert tier(found, "core").most < tier(estimate(1_000, made(), COSTS, ON_H100), "core").most


def test_what_does_not_split_saturates_first() -> None:
    redis = 0.7 * 1e6 / 50 / (3 * 18 / 60 + 1)
    assert estimate(1_000, made(), COSTS, ON_H100).first.unit == "core"
    first = estimate(100_000, made(), COSTS, ON_H100).first
    assert first.unit == "Redis"
    assert first.least == pytest.approx(redis)
    unmeasured = replace(made(), redis_us_per_event=None)
    assert estimate(100_000, unmeasured, COSTS, ON_H100, DEFAULTS).first.unit == "core"
