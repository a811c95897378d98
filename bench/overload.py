"""Twice the streams that the server admits: what those it admitted get, and what the others are told.

`python -m bench.overload --capacity N` drives N streams against a limit of N, and twice as many against the
same, in alternation. Who is refused asks again when the server says it may. Goodput is finals that their
client had within 150 ms of when the deciding sample was due. Exit code 1: goodput fell below 90 % of its
peak, a refusal was not RESOURCE_EXHAUSTED with the time to come again, or a final is missing.

With --admit-all, twice as many also against a server that admits them, to see what the limit is good for.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench import report, talks
from bench.backends import Backends
from bench.figures import Spread, costs, spread, times
from bench.job import Run
from bench.machine import choose_cores, versions
from bench.measure import MeasurementFailed, run_once
from bench.options import within
from bench.scenario import Kind, Scenario
from bench.server import ServerFailed
from tools.triton.server import TritonFailed

_ROOT: Final = Path(__file__).resolve().parent.parent
LEAST_SHARE: Final = 0.9
_NO_LIMIT: Final = 100_000

Runs = dict[Scenario, list[Run]]


async def measure(
    capacity: int,
    *,
    kind: Kind,
    rounds: int,
    seconds: float,
    files: Sequence[Path],
    backends: Backends,
    admit_all: bool = False,
) -> Runs:
    """Runs at the limit, at twice as many, and of as many without a limit. Raises as `run_once` does."""
    cores = choose_cores()
    scenarios = [
        Scenario(streams, 20, seconds=seconds, kind=kind, max_streams=limit)
        for streams, limit in ((capacity, capacity), (2 * capacity, capacity), (2 * capacity, _NO_LIMIT))
    ][: 3 if admit_all else 2]
    runs: Runs = {scenario: [] for scenario in scenarios}
    for _ in range(rounds):
        for scenario in scenarios:
            runs[scenario].append(await run_once(scenario, files, cores, backends))
    return runs


def figures(runs: Runs) -> dict[str, Any]:
    """Goodput at the limit and at twice as many, the ratio in each round, and what must not be."""
    (full, at_limit), (twice, above), *unlimited = runs.items()
    goodput = {
        scenario: [run["in_time"] / scenario.seconds for run in found] for scenario, found in runs.items()
    }
    shares = [one / peak if peak else 0.0 for one, peak in zip(goodput[twice], goodput[full], strict=True)]
    faults = [fault for run in (*at_limit, *above) for fault in run["faults"]]
    for number, run in enumerate(above, start=1):
        if run["refused_streams"] != twice.streams - twice.max_streams:
            wanted = twice.streams - twice.max_streams
            faults.append(f"run {number}: {run['refused_streams']} streams were refused, not {wanted}")
    share = spread(shares)
    if share["median"] < LEAST_SHARE:
        faults.append(f"goodput fell to {share['median']:.0%} of its peak")
    return {
        "capacity": full.streams,
        "kind": full.kind,
        "seconds": full.seconds,
        "before_s": full.ramp_s + full.warmup_s,
        "goodput_per_s": {"full": spread(goodput[full]), "twice": spread(goodput[twice])},
        "share_of_peak": share,
        "cpu_s_per_audio_hour": {"full": spread(costs(at_limit)), "twice": spread(costs(above))},
        "server_cpu_share": {"full": _share(full, at_limit), "twice": _share(twice, above)},
        "client_lag_ms": {"full": _late(at_limit), "twice": _late(above)},
        "refused_streams": [run["refused_streams"] for run in above],
        "refusals": [run["refusals"] for run in above],
        "declared": sum(run["declared"] for run in above),
        "delivered": sum(run["delivered"] for run in above),
        "faults": faults,
        "admit_all": {
            "goodput_per_s": spread(goodput[unlimited[0][0]]),
            "server_cpu_share": _share(*unlimited[0]),
            "client_lag_ms": _late(unlimited[0][1]),
            "delivered_share": spread(
                [run["delivered"] / max(run["declared"], 1) for run in unlimited[0][1]]
            ),
            "faults": sum(len(run["faults"]) for run in unlimited[0][1]),
        }
        if unlimited
        else None,
    }


def _share(scenario: Scenario, runs: Sequence[Run]) -> Spread:
    """Of a core, that the server took."""
    return spread([run["server_cpu_s"] / scenario.seconds for run in runs])


def _late(runs: Sequence[Run]) -> dict[str, Any]:
    """What callers that were let in waited for their finals, without the raw counts."""
    return {key: value for key, value in times("client_lag_ms", runs).items() if key != "histogram"}


def tell(found: dict[str, Any], console: Console) -> None:
    """In some lines."""
    goodput = {label: side["median"] for label, side in found["goodput_per_s"].items()}
    console.print(
        f"overload: {found['capacity']} streams: {goodput['full']:.1f} finals a second in time; of twice as "
        f"many: {goodput['twice']:.1f}, {found['share_of_peak']['median']:.0%}; {found['delivered']} of "
        f"{found['declared']} finals; {found['refused_streams']} streams refused, {found['refusals']} times"
    )
    if admitted := found["admit_all"]:
        share = admitted["delivered_share"]["median"]
        console.print(
            f"overload: all of them admitted: {admitted['goodput_per_s']['median']:.1f} finals a second "
            f"in time, {share:.0%} of all delivered, {admitted['faults']} faults"
        )
    for fault in found["faults"][:10]:
        console.print(f"! overload: {fault}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = ("recorded", "service", "listen", "triton")
    number: dict[str, Any] = {"metavar": "N", "help": "%(default)s"}
    parser.add_argument("--capacity", type=within(int, 1, 2_000), default=100, **number)
    parser.add_argument("--kind", default="recorded", choices=kinds, help="%(default)s")
    parser.add_argument("--rounds", type=within(int, 1, 100), default=3, **number)
    parser.add_argument(
        "--seconds", type=within(float, 1, 3_600), default=5.0, metavar="S", help="%(default)s"
    )
    parser.add_argument("--audio", type=Path, nargs="+", default=(), metavar="FILE", help="speech to send")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench/results/overload.json", metavar="FILE")
    parser.add_argument("--admit-all", action="store_true", help="as many without a limit, too")
    args = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)

    async def run(files: Sequence[Path]) -> Runs:
        async with Backends(choose_cores(), args.output.with_suffix(".triton.log")) as backends:
            return await measure(
                args.capacity,
                kind=args.kind,
                rounds=args.rounds,
                seconds=args.seconds,
                files=files,
                backends=backends,
                admit_all=args.admit_all,
            )

    try:
        source = talks.find(args.audio)
        found = figures(asyncio.run(run(source.paths)))
    except (talks.NoTalks, ServerFailed, MeasurementFailed, TritonFailed) as error:
        sys.stderr.write(f"bench.overload: {error}\n")
        return 2
    report.write({"versions": versions(), "speech": source.description, "overload": found}, args.output)
    tell(found, console)
    return int(bool(found["faults"]))


if __name__ == "__main__":
    sys.exit(main())
