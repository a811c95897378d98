"""Runs to figures, by hand."""

from __future__ import annotations

import pytest

from bench.figures import an_hour, figures, passed, spread
from bench.scenario import Scenario
from tests.bench.runs import made_run

SERVICE = Scenario(streams=100, frame_ms=20)
FLOOR = Scenario(streams=100, frame_ms=20, kind="floor")


def test_spread_is_the_median_and_the_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": [3.0, 1.0, 2.0]}
    assert spread([1.0, 2.0])["median"] == 1.5


def test_seconds_an_hour_of_audio() -> None:
    assert an_hour(2.0, 720.0) == 10.0
    assert an_hour(2.0, 0.0) == 0.0


def test_cost_and_memory_of_three_runs() -> None:
    runs = [made_run(cpu_s=1.8), made_run(cpu_s=2.0, rss_kib=130_000.0), made_run(cpu_s=2.4)]
    found = figures(SERVICE, runs)
    assert found["cpu_s_per_audio_hour"] == {
        "median": 20.0,
        "min": 18.0,
        "max": 24.0,
        "runs": [18.0, 20.0, 24.0],
    }
    assert found["server_cpu_share"]["runs"] == [0.36, 0.4, 0.48]
    assert found["rss_kib_per_stream"]["runs"] == [200.0, 300.0, 200.0]
    assert found["model_s_per_audio_hour"]["median"] == 5.0
    assert found["finals"] == {"declared": 15, "delivered": 15, "share": 1.0, "statuses": {"OK": 15}}
    assert found["floor_ratio"] is None


def test_the_ratio_is_taken_within_each_round() -> None:
    runs = [made_run(cpu_s=2.0), made_run(cpu_s=6.0), made_run(cpu_s=2.0)]
    floor = [10.0, 20.0, 5.0]
    assert figures(SERVICE, runs, floor)["floor_ratio"]["runs"] == [2.0, 3.0, 4.0]
    assert figures(SERVICE, runs, floor)["floor_ratio"]["median"] == 3.0
    assert figures(SERVICE, runs, floor)["always_on_ratio"] is None
    assert figures(SERVICE, runs, floor, [10.0, 4.0, 5.0])["always_on_ratio"]["runs"] == [1.0, 2.5, 2.0]


def test_percentiles_are_of_all_runs_together() -> None:
    found = figures(SERVICE, [made_run(times_ms=[1] * 9), made_run(times_ms=[50])])["decision_lag_ms"]
    assert found["count"] == 10
    assert found["p50"] == pytest.approx(1, rel=0.001)
    assert found["max"] == pytest.approx(50, rel=0.001)
    assert found["run_p50"]["runs"] == pytest.approx([1, 50], rel=0.001)


def test_a_floor_has_no_lags_and_no_finals() -> None:
    found = figures(FLOOR, [made_run(declared=0, delivered=0)])
    assert not {"decision_lag_ms", "finals", "floor_ratio"} & found.keys()
    assert passed(found)


def test_only_all_finals_without_a_fault_pass() -> None:
    assert passed(figures(SERVICE, [made_run()]))
    assert not passed(figures(SERVICE, [made_run(), made_run(delivered=4)]))
    assert not passed(figures(SERVICE, [made_run(declared=0, delivered=0)]))
    failed = figures(SERVICE, [made_run(), made_run(faults=["stream 3: UNAVAILABLE: gone"])])
    assert failed["faults"] == ["run 2, stream 3: UNAVAILABLE: gone"]
    assert not passed(failed)
    assert not passed(figures(FLOOR, [made_run(faults=["stream 0: late"])]))
