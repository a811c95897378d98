"""Real-time streams a core: `python -m bench.capacity` steps their number until something breaks.

A number of streams holds where 99 % of the finals that were scored ahead leave within 20 ms of the endpoint,
the driver itself is on time, the server takes at most 70 % of its core, and no final is missing. Behind the
service is a Triton that only remembers how late a real one was (`bench.recorded`), or what --kind says.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench import report, talks
from bench.backends import Backends
from bench.histogram import Histogram
from bench.job import Run
from bench.machine import choose_cores, versions
from bench.measure import MeasurementFailed, run_once
from bench.options import within
from bench.scenario import Scenario
from bench.server import ServerFailed
from tools.triton.server import TritonFailed

_ROOT: Final = Path(__file__).resolve().parent.parent
FINAL_LAG_MS: Final = 20.0
LATE_MS: Final = 5.0
CORE_SHARE: Final = 0.7
DRIVER_SHARE: Final = 0.9
_CLOSE: Final = 1.08
"""A number that holds and one that breaks are near enough by this factor."""

Once = Callable[[Scenario], Awaitable[Run]]


@dataclass(frozen=True, slots=True)
class Step:
    """One number of streams, and what it did."""

    streams: int
    server_cpu_share: float
    driver_cpu_share: float
    final_lag_hit_p99_ms: float | None
    decision_lag_p99_ms: float | None
    driver_late_p99_ms: float | None
    broke: str
    """What did not hold; empty: all did."""


def step_of(scenario: Scenario, run: Run) -> Step:
    """A run, judged."""

    def p99(name: str) -> float | None:
        return Histogram.decode(run["histograms"][name]).percentile_ms(99.0)

    share, hit, late = (
        run["server_cpu_s"] / scenario.seconds,
        p99("final_lag_hit_ms"),
        p99("driver_lateness_ms"),
    )
    broke = ""
    if run["faults"]:
        broke = f"{len(run['faults'])} faults, the first: {run['faults'][0]}"
    elif share > CORE_SHARE:
        broke = f"the server took {share:.0%} of its core"
    elif late is None or late > LATE_MS or run["driver_cpu_share"] > DRIVER_SHARE:
        broke = f"the driver was {late} ms late at p99, with {run['driver_cpu_share']:.0%} of its core"
    elif hit is None or hit > FINAL_LAG_MS:
        broke = f"final_lag_ms of those scored ahead was {hit} at p99"
    return Step(scenario.streams, share, run["driver_cpu_share"], hit, p99("decision_lag_ms"), late, broke)


async def climb(scenario: Scenario, once: Once, runs: int) -> list[Step]:
    """Steps from the scenario's streams on, at most ``runs``: up while they hold, then in between."""
    steps: list[Step] = []
    wanted = scenario.streams
    while len(steps) < runs:
        tried = replace(scenario, streams=wanted)
        steps.append(step_of(tried, await once(tried)))
        holding, breaking = best(steps), least_breaking(steps)
        if breaking and holding >= breaking / _CLOSE:
            break
        wanted = next_number(steps[-1], holding, breaking)
        if any(step.streams == wanted for step in steps):
            break
    return steps


def best(steps: Sequence[Step]) -> int:
    """The most streams that held below the fewest that broke; 0: none did."""
    most = least_breaking(steps) or sys.maxsize
    return max((step.streams for step in steps if not step.broke and step.streams < most), default=0)


def least_breaking(steps: Sequence[Step]) -> int:
    """The fewest streams that broke; 0: none did."""
    return min((step.streams for step in steps if step.broke), default=0)


def next_number(last: Step, holding: int, breaking: int) -> int:
    """Where to look next: where the core would be full if cost grew evenly, but between what is known."""
    guess = last.streams * CORE_SHARE / max(last.server_cpu_share, 0.05)
    if holding and breaking:
        guess = (holding + breaking) / 2
    elif breaking:
        guess = min(guess, breaking * 0.9) if guess > breaking * 0.5 else breaking * 0.5
    else:
        guess = min(max(guess, holding * 1.1), holding * 2.0)
    return max(1, round(guess / 5) * 5 if guess >= 20 else round(guess))


def figures(scenario: Scenario, steps: Sequence[Step]) -> dict[str, Any]:
    """What latest.json says of one search."""
    return {
        "kind": scenario.kind,
        "frame_ms": scenario.frame_ms,
        "processes": scenario.processes,
        "seconds": scenario.seconds,
        "streams": best(steps),
        "broke": next((step.broke for step in steps if step.streams == least_breaking(steps)), ""),
        "steps": [
            {name: getattr(step, name) for name in Step.__slots__}  # in the order in which they were made
            for step in steps
        ],
    }


def table(found: Sequence[dict[str, Any]]) -> Table:
    """A line for each search."""
    shown = Table("streams a core", "frames", "processes", "hold", "what broke above")
    for one in found:
        shown.add_row(
            one["kind"],
            f"{one['frame_ms']} ms",
            str(one["processes"]),
            str(one["streams"]),
            one["broke"] or "-",
        )
    return shown


async def measure(
    searches: Sequence[Scenario], runs: int, files: Sequence[Path], backends: Backends, console: Console
) -> list[dict[str, Any]]:
    """All searches, one after the other. Raises as `bench.measure.run_once` does."""
    cores = choose_cores()
    found = []
    for scenario in searches:

        async def once(tried: Scenario) -> Run:
            run = await run_once(tried, files, cores, backends)
            step = step_of(tried, run)
            console.print(f"{tried.name}: {step.server_cpu_share:.0%} of a core; {step.broke or 'holds'}")
            return run

        found.append(figures(scenario, await climb(scenario, once, runs)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number: dict[str, Any] = {"metavar": "N"}
    kinds = ("recorded", "service", "listen", "triton")
    parser.add_argument("--kind", default="recorded", choices=kinds, help="%(default)s")
    parser.add_argument("--frame-ms", type=within(int, 10, 1_000), nargs="+", default=[20, 100], metavar="MS")
    parser.add_argument("--processes", type=within(int, 1, 64), nargs="+", default=[1], **number)
    parser.add_argument("--start", type=within(int, 1, 5_000), default=100, help="%(default)s", **number)
    parser.add_argument("--most", type=within(int, 1, 50), default=6, help="runs: %(default)s", **number)
    parser.add_argument("--seconds", type=within(float, 1, 3_600), default=5.0, metavar="S")
    parser.add_argument("--audio", type=Path, nargs="+", default=(), metavar="FILE", help="speech to send")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench/results/capacity.json", metavar="FILE")
    args = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    searches = [
        Scenario(args.start, frame_ms, seconds=args.seconds, kind=args.kind, processes=processes)
        for frame_ms in args.frame_ms
        for processes in args.processes
    ]

    async def search(files: Sequence[Path]) -> list[dict[str, Any]]:
        async with Backends(choose_cores(), args.output.with_suffix(".triton.log")) as backends:
            return await measure(searches, args.most, files, backends, console)

    try:
        source = talks.find(args.audio)
        found = asyncio.run(search(source.paths))
    except (talks.NoTalks, ServerFailed, MeasurementFailed, TritonFailed) as error:
        sys.stderr.write(f"bench.capacity: {error}\n")
        return 2
    document = {"versions": versions(), "speech": source.description, "streams_per_core": found}
    report.write(document, args.output)
    console.print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
