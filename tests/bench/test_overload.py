"""Twice as many streams as are admitted: on a real server, and judged by hand."""

from __future__ import annotations

import io

from rich.console import Console

from bench.backends import Backends
from bench.machine import Cores
from bench.measure import run_once
from bench.overload import Runs, figures, tell
from bench.scenario import Scenario
from bench.talks import find
from tests.bench.runs import made_run

FULL = Scenario(100, 20, max_streams=100)
TWICE = Scenario(200, 20, max_streams=100)


def judged(**above: object) -> list[str]:
    run = made_run(delivered=95, declared=95)
    run["refused_streams"], run["refusals"] = 100, 300
    run.update(above)  # type: ignore[typeddict-item]
    runs: Runs = {FULL: [made_run(delivered=100, declared=100)], TWICE: [run]}
    found = figures(runs)
    assert found["admit_all"] is None
    console = Console(file=io.StringIO(), record=True)
    tell(found, console)
    assert all(fault.split()[0] in console.export_text() for fault in found["faults"])
    faults: list[str] = found["faults"]
    return faults


def test_nine_tenths_of_the_peak_and_every_refusal_are_wanted() -> None:
    assert judged() == []
    assert judged(in_time=80) == ["goodput fell to 80% of its peak"]
    assert judged(refused_streams=98) == ["run 1: 98 streams were refused, not 100"]
    assert judged(faults=["stream 3: u1: 0 finals"]) == ["stream 3: u1: 0 finals"]


def test_those_admitted_without_a_limit_are_told_and_not_judged() -> None:
    run = made_run(delivered=95, declared=95)
    run["refused_streams"] = 100
    lost = made_run(delivered=10, declared=200, faults=["stream 1: late"])
    all_in = Scenario(200, 20, max_streams=1_000)
    found = figures({FULL: [made_run(delivered=100, declared=100)], TWICE: [run], all_in: [lost]})
    assert found["faults"] == []
    assert found["admit_all"]["delivered_share"]["median"] == 0.05
    assert found["admit_all"]["faults"] == 1


async def test_who_is_refused_is_told_when_to_come_again() -> None:
    scenario = Scenario(4, 100, seconds=3.0, kind="recorded", max_streams=2)
    cores = Cores(None, None)
    async with Backends(cores, find(environ={}).paths[0]) as backends:
        run = await run_once(scenario, find(environ={}).paths, cores, backends)
    assert run["faults"] == []
    assert run["refused_streams"] == 2
    assert run["refusals"] > 2  # they came again
    assert run["delivered"] == run["declared"] >= 2
    assert set(run["statuses"]) <= {"OK", "ABSTAINED"}  # by the Triton that remembers
