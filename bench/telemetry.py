"""What traces and metrics cost: `python -m bench.telemetry`.

Two servers live through the whole run: one tells nothing, the other sends every span to an OTLP receiver and
is scraped every 5 s. Windows of streams at real time go to one and the other in alternation, and the ratio of
their CPU time is taken within each pair. The receiver and the scraper run on the driver's core.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import socket
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console

from bench import talks as speech
from bench.figures import an_hour, spread
from bench.job import Job, Run
from bench.machine import Cores, choose_cores, on_core, versions
from bench.measure import MeasurementFailed, drive
from bench.scenario import Scenario
from bench.server import Server, ServerFailed

_ROOT: Final = Path(__file__).resolve().parent.parent
_SCRAPE_S: Final = 5.0
_WANTED: Final = 1.10
_SURE: Final = 0.95

Pair = tuple[Run, Run]
"""Without telemetry, and with it."""


@contextmanager
def receiver() -> Iterator[tuple[str, list[int]]]:
    """An OTLP receiver that drops what it gets: its address, and the bytes of each export."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            self.rfile.read(size)
            taken.append(size)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    taken: list[int] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def scraping(address: str) -> AsyncIterator[list[str]]:
    """Read the metrics every few seconds, as Prometheus would. Gives the newest answer."""
    newest = [""]

    async def scrape() -> None:
        while True:
            newest[0] = await asyncio.to_thread(_get, f"http://{address}/metrics")
            await asyncio.sleep(_SCRAPE_S)

    task = asyncio.get_running_loop().create_task(scrape())
    try:
        yield newest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measure(
    scenario: Scenario, *, rounds: int, talks: Sequence[Path], cores: Cores, console: Console
) -> tuple[list[Pair], dict[str, float]]:
    """The pairs, and what was told meanwhile."""
    names = tuple(str(path.resolve()) for path in talks)
    with on_core(cores.driver), receiver() as (traces, taken):
        metrics = f"127.0.0.1:{_free_port()}"
        telling = {
            "AFFECTSTREAM_TELEMETRY__TRACES": traces,
            "AFFECTSTREAM_TELEMETRY__METRICS": "true",
            "AFFECTSTREAM_TELEMETRY__METRICS_ADDRESS": metrics,
        }
        async with (
            Server("service", cores.server) as silent,
            Server("service", cores.server, telling) as told,
            scraping(metrics) as newest,
        ):
            pairs = []
            for number in range(rounds):
                runs: dict[bool, Run] = {}
                for tells in (False, True) if number % 2 else (True, False):  # a drift weighs on both alike
                    server = told if tells else silent
                    job = Job(scenario, server.address, server.pid, names)
                    runs[tells] = await drive(job, cores.driver, lambda _: None)
                pairs.append((runs[False], runs[True]))
                console.print(f"pair {number + 1} of {rounds}: {_ratio(pairs[-1]):.3f}")
            scraped = await asyncio.to_thread(_get, f"http://{metrics}/metrics")
        spans = {outcome: _value(scraped, outcome) for outcome in ("exported", "dropped", "failed")}
        return pairs, spans | {"exports": len(taken), "bytes": sum(taken), "scrape_bytes": len(newest[0])}


def figures(pairs: Sequence[Pair]) -> dict[str, Any]:
    """CPU seconds an hour of audio of both sides, and their ratio with the interval of its median."""
    ratios = [_ratio(pair) for pair in pairs]
    low, high = interval(ratios)
    sides = {"off": [off for off, _ in pairs], "on": [on for _, on in pairs]}
    return {
        "ratio": {**spread(ratios), "low": round(low, 4), "high": round(high, 4), "sure": _SURE},
        **{
            name: {
                "cpu_s_per_audio_hour": spread([_cost(run) for run in runs]),
                "declared": sum(run["declared"] for run in runs),
                "delivered": sum(run["delivered"] for run in runs),
                "faults": [fault for run in runs for fault in run["faults"]],
                "others_cpu_share": spread([run["others_cpu_share"] for run in runs]),
                "load_1min": spread([run["load_1min"] for run in runs]),
            }
            for name, runs in sides.items()
        },
    }


def interval(values: Sequence[float], sure: float = _SURE) -> tuple[float, float]:
    """Two of the values between which the median lies, at least as surely, whatever they are spread like.

    Of fewer than six values none are as sure as 0.95: the ends, then.
    """
    ordered, count = sorted(values), len(values)
    outside = 0.0
    for rank in range(count // 2):
        outside += math.comb(count, rank) / 2**count
        if 2 * outside > 1 - sure:
            return ordered[max(0, rank - 1)], ordered[count - max(1, rank)]
    middle = max(0, count // 2 - 1)
    return ordered[middle], ordered[count - 1 - middle]


def _cost(run: Run) -> float:
    return an_hour(run["server_cpu_s"], run["audio_s"])


def _ratio(pair: Pair) -> float:
    off, on = pair
    return _cost(on) / _cost(off)


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http://127.0.0.1
        text: str = answer.read().decode()
        return text


def _value(scraped: str, outcome: str) -> float:
    start = f'affectstream_spans_total{{outcome="{outcome}"}} '
    lines = [line.removeprefix(start) for line in scraped.splitlines() if line.startswith(start)]
    return float(lines[0]) if lines else 0.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m bench.telemetry",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--streams", type=int, default=50, metavar="N", help="default: %(default)s")
    options.add_argument("--rounds", type=int, default=12, metavar="N", help="pairs; default: %(default)s")
    options.add_argument("--seconds", type=float, default=8.0, metavar="S", help="of a window; default: 8")
    options.add_argument(
        "--output",
        type=Path,
        default=_ROOT / "bench" / "results" / "telemetry.json",
        metavar="FILE",
        help="where the figures go (default: bench/results/telemetry.json)",
    )
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    cores = choose_cores()
    scenario = Scenario(args.streams, seconds=args.seconds)
    try:
        source = speech.find(())
        pairs, told = asyncio.run(
            measure(scenario, rounds=args.rounds, talks=source.paths, cores=cores, console=console)
        )
    except (speech.NoTalks, ServerFailed, MeasurementFailed) as error:
        sys.stderr.write(f"bench.telemetry: {error}\n")
        return 2
    found = figures(pairs)
    ratio = found["ratio"]
    console.print(
        f"{scenario.name}, {source.description}, {cores}\n"
        f"CPU-s an audio hour: {found['off']['cpu_s_per_audio_hour']['median']:.1f} without, "
        f"{found['on']['cpu_s_per_audio_hour']['median']:.1f} with; "
        f"ratio {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}), {len(pairs)} pairs\n"
        f"others' work: {median(run['others_cpu_share'] for pair in pairs for run in pair):.2f} cores; "
        f"spans exported {told['exported']:.0f}, dropped {told['dropped']:.0f}, failed {told['failed']:.0f}"
    )
    if ratio["high"] > _WANTED:
        console.print(f"! the interval reaches above the {_WANTED:g} that we want")
    faults = [*found["off"]["faults"], *found["on"]["faults"]]
    for fault in faults:
        console.print(f"! {fault}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    document = found | {"told": told, "scenario": scenario.name, "versions": versions()}
    args.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
