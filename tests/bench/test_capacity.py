"""The search for the most streams, on a made-up server whose cost grows evenly."""

from __future__ import annotations

import pytest

from bench.capacity import CORE_SHARE, Step, best, climb, figures, step_of
from bench.job import Run
from bench.scenario import Scenario
from tests.bench.runs import made_run

FROM_100 = Scenario(100, 20, kind="recorded")


async def search(scenario: Scenario, share_of_stream: float, runs: int = 8) -> list[Step]:
    async def once(tried: Scenario) -> Run:
        return made_run(cpu_s=tried.streams * share_of_stream * tried.seconds)

    return await climb(scenario, once, runs)


@pytest.mark.parametrize("full_at", [12, 60, 100, 137, 400])
async def test_the_most_streams_are_found_within_a_tenth(full_at: int) -> None:
    steps = await search(FROM_100, CORE_SHARE / (full_at + 0.5))
    assert 0.9 * full_at <= best(steps) <= full_at
    assert len(steps) <= 8


async def test_with_few_runs_what_is_told_did_hold() -> None:
    assert best(await search(FROM_100, CORE_SHARE / 130.0, 2)) in range(100, 131)
    assert best(await search(FROM_100, 2.0, 1)) == 0


def test_what_breaks_is_told() -> None:
    def broke(**what: object) -> str:
        return step_of(FROM_100, made_run(**what)).broke  # type: ignore[arg-type]

    assert broke(cpu_s=1.0) == ""
    assert broke(cpu_s=4.0) == "the server took 80% of its core"
    assert "driver was 40" in broke(late_ms=40)
    assert "scored ahead was 30" in broke(times_ms=[1] * 50 + [30] * 3)
    assert broke(faults=["stream 1: gone"]) == "1 faults, the first: stream 1: gone"


async def test_a_number_that_held_above_one_that_broke_does_not_count() -> None:
    def step(streams: int, broke: str) -> Step:
        return Step(streams, 0.5, 0.2, 1.0, 1.0, 1.0, broke)

    assert best([step(100, ""), step(120, "late"), step(130, "")]) == 100
    found = figures(FROM_100, [step(100, ""), step(120, "late")])
    assert (found["streams"], found["broke"], len(found["steps"])) == (100, "late", 2)
