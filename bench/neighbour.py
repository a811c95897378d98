"""What one tenant's flood does to another: `python -m bench.neighbour`.

One server with two tenants. One has a few streams at real time; the other sends as fast as it is read, on
many streams, and analyses without a pause. Windows with and without the flood alternate in one run, so the
ratio between them holds on a noisy machine, where the times themselves do not. The flood's process runs on
the driver's core and yields to it (nice 10): what it slows down is the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from affectstream_server.auth import tokens
from bench import talks as speech
from bench.figures import spread
from bench.flood import Flood
from bench.histogram import Histogram
from bench.job import Job, Run
from bench.machine import Cores, choose_cores, on_core, versions
from bench.measure import MeasurementFailed, drive
from bench.scenario import Scenario
from bench.server import Server, ServerFailed

_ROOT: Final = Path(__file__).resolve().parent.parent
_LAGS: Final = ("decision_lag_ms", "final_lag_ms", "client_lag_ms")
_PERCENTILES: Final = {"p50": 50.0, "p99": 99.0}
_WANTED: Final = 1.5
_QUOTA: Final = "{streams: 20, audio_rate: 20, analyses: 2}"
_SETTLE_S: Final = 1.0
_STOP_S: Final = 180.0

Runs = dict[bool, list[Run]]
"""By whether there was a flood."""


@asynccontextmanager
async def flooding(flood: Flood, core: int | None, told: Counter[str]) -> AsyncIterator[None]:
    """A flood for as long as the context is open; what became of its calls is added to ``told``."""
    pipe = asyncio.subprocess.PIPE
    with on_core(core):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.flood"), cwd=_ROOT, stdin=pipe, stdout=pipe
        )
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(flood.to_json().encode() + b"\n")
        await asyncio.sleep(_SETTLE_S)
        yield
        process.stdin.close()
        told.update(json.loads(await asyncio.wait_for(process.stdout.readline(), _STOP_S) or "{}"))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure(
    scenario: Scenario, flood: Flood, token: str, *, rounds: int, talks: Sequence[Path], cores: Cores
) -> tuple[Runs, Counter[str]]:
    """Runs without and with the flood, in alternation, and what became of the flood's calls."""
    runs: Runs = {False: [], True: []}
    told: Counter[str] = Counter()
    async with Server("service", cores.server) as server:
        names = tuple(str(path.resolve()) for path in talks)
        job = Job(scenario, server.address, server.pid, names, token)
        flood = Flood(server.address, flood.token, names[0], flood.streams, flood.analyses)
        for number in range(2 * rounds):
            flooded = number % 4 in (1, 2)  # quiet, flood, flood, quiet: a drift weighs on both alike
            if flooded:
                async with flooding(flood, cores.driver, told):
                    run = await drive(job, cores.driver, lambda _: None)
            else:
                run = await drive(job, cores.driver, lambda _: None)
            runs[flooded].append(run)
    return runs, told


def figures(runs: Runs, told: Counter[str]) -> dict[str, Any]:
    """Percentiles of the calm tenant without and with the flood, their ratios, and what it was refused."""
    found: dict[str, Any] = {"flood_calls": dict(told)}
    for name in _LAGS:
        sides = {
            flooded: [Histogram.decode(run["histograms"][name]) for run in runs[flooded]] for flooded in runs
        }
        merged = {flooded: _merged(histograms) for flooded, histograms in sides.items()}
        found[name] = {
            label: {
                "quiet": merged[False].percentile_ms(percent),
                "flood": merged[True].percentile_ms(percent),
                "ratio": _ratio(merged[True], merged[False], percent),
                "rounds": spread(
                    [_ratio(b, a, percent) for a, b in zip(sides[False], sides[True], strict=True)]
                ),
            }
            for label, percent in _PERCENTILES.items()
        }
        found[name]["count"] = {"quiet": len(merged[False]), "flood": len(merged[True])}
    for label, flooded in (("quiet", False), ("flood", True)):
        side = runs[flooded]
        found[label] = {
            "declared": sum(run["declared"] for run in side),
            "delivered": sum(run["delivered"] for run in side),
            "statuses": dict(sum((Counter(run["statuses"]) for run in side), Counter())),
            "scores_used": sum(run["scores_used"] for run in side),
            "faults": [fault for run in side for fault in run["faults"]],
            "driver_late_p99_ms": median(
                Histogram.decode(run["histograms"]["driver_lateness_ms"]).percentile_ms(99.0) or 0.0
                for run in side
            ),
            "server_cpu_s": sum(run["server_cpu_s"] for run in side),
        }
    return found


def table(found: dict[str, Any]) -> Table:
    """A row for each lag and percentile."""
    shown = Table("the calm tenant, ms", "quiet", "flood", "ratio", "of the rounds, median (ends)")
    for column in shown.columns[1:]:
        column.justify = "right"
    for name in _LAGS:
        shown.add_section()
        for label in _PERCENTILES:
            one = found[name][label]
            of_rounds = one["rounds"]
            shown.add_row(
                f"{name.removesuffix('_ms')} {label}",
                *(f"{one[key]:.2f}" for key in ("quiet", "flood", "ratio")),
                f"{of_rounds['median']:.2f} ({of_rounds['min']:.2f} to {of_rounds['max']:.2f})",
            )
    shown.caption = f"wanted: ratio of the p99 at most {_WANTED}, every final, nothing refused"
    return shown


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    merged = Histogram()
    for histogram in histograms:
        merged.add(histogram)
    return merged


def _ratio(flood: Histogram, quiet: Histogram, percent: float) -> float:
    below = quiet.percentile_ms(percent) or 0.001
    return (flood.percentile_ms(percent) or 0.0) / below


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.neighbour",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument("--streams", **number, default=10, help="of the calm one: %(default)s")
    parser.add_argument("--flood", **number, default=30, help="streams of the flood: %(default)s")
    parser.add_argument("--analyses", **number, default=8, help="of the flood, at once: %(default)s")
    parser.add_argument("--quota", default=_QUOTA, metavar="YAML", help="of the flood: %(default)s")
    parser.add_argument("--rounds", **number, default=5, help="%(default)s")
    parser.add_argument("--seconds", type=float, default=15.0, metavar="S", help="of a window: %(default)s")
    parser.add_argument("--audio", type=Path, nargs="+", default=(), metavar="FILE", help="speech to send")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench/results/neighbour.json", metavar="FILE")
    args = parser.parse_args(arguments)
    scenario = Scenario(args.streams, 20, seconds=args.seconds)
    cores = choose_cores()
    try:
        source = speech.find(args.audio)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tokens.yaml"
            made = [tokens.make(name, "bench", None) for name in ("calm", "rude")]
            file.write_text("".join(line for _, line in made), encoding="utf-8")
            os.environ["AFFECTSTREAM_AUTH__TOKENS_FILE"] = str(file)
            os.environ["AFFECTSTREAM_TENANTS__RUDE"] = args.quota
            calm, rude = (secret for secret, _ in made)
            flood = Flood("", rude, "", args.flood, args.analyses)
            runs, told = asyncio.run(
                measure(scenario, flood, calm, rounds=args.rounds, talks=source.paths, cores=cores)
            )
    except (speech.NoTalks, ServerFailed, MeasurementFailed) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    found = figures(runs, told)
    document = {
        "versions": versions(),
        "speech": source.description,
        "pinning": str(cores),
        "quota": args.quota,
        **found,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    console.print(table(found))
    for label in ("quiet", "flood"):
        side = found[label]
        console.print(
            f"{label}: {side['delivered']} of {side['declared']} finals, {side['scores_used']} scored ahead, "
            f"{side['statuses']}, driver late {side['driver_late_p99_ms']:.2f} ms (p99)"
        )
        for fault in side["faults"][:10]:
            console.print(f"! {fault}", markup=False)
    console.print(f"the flood: {found['flood_calls']}", markup=False)
    return int(any(found[label]["faults"] for label in ("quiet", "flood")))


if __name__ == "__main__":
    sys.exit(main())
