"""`python -m bench`."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import grpc
from rich.console import Console

from affectstream.contract import LIMITS
from bench import capacity, memory, overhead, overload, report, talks
from bench.backends import Backends
from bench.commands import COMMANDS
from bench.machine import choose_cores, versions
from bench.measure import Measurement, MeasurementFailed
from bench.options import within
from bench.plan import FULL, QUICK, Plan, Step
from bench.scenario import Scenario
from bench.server import ServerFailed
from bench.vad.rows import RowFailed, VadRow
from tools.triton.server import TritonFailed

_ROOT: Final = Path(__file__).resolve().parent.parent
_LOG_WIDTH: Final = 110
_LEAST_CAPACITY: Final = 50
_MOST_CAPACITY: Final = 200
"""Twice as many are what one driver can send on time."""

_ABOUT: Final = """\
Drive the service with many streams at real time and measure what that costs and how long answers take.

Without --streams and --frame-ms, everything in under five minutes: rounds of scenarios beside their floors
and beside VAD alone (ours, Silero's least, LiveKit's, Pipecat's), the most streams a core, memory, overload,
and what the service adds to raw Triton. With --full, the same for the docs, in about an hour.

Each run starts a fresh server (python -m affectstream_server) and a driver in a process of its own, each
pinned to a core where there are two. The driver is an open loop: frame i is due at t0 + i x frame, whatever
the server does, and every latency counts from when its audio was due. The same frames are also sent to a
bare gRPC server that drops them (the floor), in the same round, since machines are noisy."""

_READING: Final = """\
figures:
  CPU-s an audio hour          user + system time of the server; lower is better, and the stable figure
  hangover_ms                  end of speech -> the sample that makes the endpoint decidable (policy)
  decision_lag_ms              due time of that sample -> endpoint declared
  final_lag_ms                 declared -> final event handed to gRPC; hit: its score was begun before
                               the endpoint, miss: it was not ("late" scenarios: none are)
  client_lag_ms                due time of that sample -> final received
  event loop probe             a health check every 100 ms; what it takes more than without streams is
                               how far behind the server's event loop is
  KiB a stream                 resident memory with the streams less that before them, over the streams
                               (shown from 50 streams on; noise below)
  driver late                  from when a frame was due to when it was sent; the lags hold it too
  x both                       of what bare gRPC and the batched Silero loop of the same round cost together

scenarios: service, late (scored after the endpoint), listen (nothing is scored: the always-on path), recorded
(a Triton that only remembers how late a real one was), triton, floor, websocket

exit codes: 0 all finals delivered; 1 a final was missing or double, a stream failed, or overload was not
borne; 2 nothing measured

examples:
  python -m bench                                       everything, under five minutes
  python -m bench --full                                figures for the docs, an hour
  python -m bench --streams 50 100 200 --seconds 20     some numbers of streams
  python -m bench --streams 2 --seconds 3 --runs 1      a look whether it works
  python -m bench.vad --rows ours batched               VAD and segmentation alone, no network
  python -m bench.capacity --frame-ms 20 --processes 2  the most streams a core
  python -m bench compare A.json B.json                 two results, figure by figure
  python -m bench readme | plots                        the README's table, and pictures, from latest.json
  AFFECTSTREAM_DETECTION__TICK_MS=16 python -m bench    another setting of the server"""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m bench",
        description=_ABOUT,
        epilog=_READING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Scenario(1)
    options.add_argument("--full", action="store_true", help="figures for the docs: about an hour")
    options.add_argument(
        "--churn",
        type=within(float, 0, 1_440),
        metavar="MINUTES",
        help="with --full: how long calls come and go while memory is watched (default: 20)",
    )
    options.add_argument(
        "--streams",
        type=within(int, 1, 5_000),
        nargs="+",
        metavar="N",
        help="concurrent streams; several: in turn; nothing else is measured then",
    )
    options.add_argument(
        "--frame-ms",
        type=within(int, 10, LIMITS.chunk_ms),
        nargs="+",
        metavar="MS",
        help="audio in a message, with every --streams (default: 20)",
    )
    options.add_argument(
        "--seconds",
        type=within(float, 1, 3_600),
        default=defaults.seconds,
        metavar="S",
        help="length of the measured window of a run (default: %(default)s)",
    )
    options.add_argument(
        "--warmup",
        type=within(float, 0, 600),
        default=defaults.warmup_s,
        metavar="S",
        help="from the last stream's start to the window (default: %(default)s)",
    )
    options.add_argument(
        "--runs",
        type=within(int, 1, 100),
        default=3,
        metavar="N",
        help="runs of each scenario, in alternation (default: %(default)s)",
    )
    options.add_argument(
        "--kind",
        nargs="+",
        choices=("service", "late", "listen"),
        default=("service",),
        metavar="KIND",
        help="with --streams or --frame-ms: service, late (scored after the endpoint), listen (not scored)",
    )
    options.add_argument("--no-floor", action="store_true", help="leave out what the figures are compared to")
    options.add_argument(
        "--audio",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="speech to send, looped (default: $AFFECTSTREAM_AUDIO/conversation, else the bundled sample)",
    )
    options.add_argument(
        "--output",
        type=Path,
        default=_ROOT / "bench" / "results" / "latest.json",
        metavar="FILE",
        help="where the figures go (default: bench/results/latest.json)",
    )
    return options


def chosen(args: argparse.Namespace) -> Plan:
    """What the options ask for: a plan, or one of scenarios alone, each followed by its floor."""
    if not (args.streams or args.frame_ms):
        if args.full:
            return FULL if args.churn is None else replace(FULL, churn_minutes=args.churn)
        return QUICK
    steps: list[Step] = []
    for streams in args.streams or [100]:
        for frame_ms in args.frame_ms or [20]:
            kinds = (*args.kind, *(() if args.no_floor else ("floor",)))
            steps += [Scenario(streams, frame_ms, kind=kind) for kind in kinds]
        steps += () if args.no_floor else (VadRow("batched", streams),)
    timed = [replace(step, seconds=args.seconds, warmup_s=args.warmup) for step in dict.fromkeys(steps)]
    return replace(
        QUICK,
        rounds=[timed] * args.runs,
        searches=(),
        idle_streams=0,
        churn_minutes=0.0,
        overload_rounds=0,
        overhead=(),
    )


async def measure(plan: Plan, files: Sequence[Path], result: report.Report, console: Console) -> None:
    """All parts of a plan but the overhead. Raises what they raise."""
    cores = choose_cores()
    async with Backends(cores, _ROOT / "bench/results/triton.log") as backends:
        console.print("== rounds")
        await Measurement(plan.rounds, files, cores).fill(result, console, backends)
        if plan.searches:
            console.print("== the most streams a core")
            searches = [replace(one, seconds=plan.seconds) for one in plan.searches]
            result.parts["searches"] = await capacity.measure(
                searches, plan.search_runs, files, backends, console
            )
        if plan.idle_streams:
            console.print("== memory")
            result.parts["memory"] = await memory.measure(
                idle_streams=plan.idle_streams,
                speaking=50,
                minutes=plan.churn_minutes,
                file=files[0],
                cores=cores,
            )
        if plan.overload_rounds:
            console.print("== overload")
            runs = await overload.measure(
                _capacity(result.parts.get("searches", ())),
                kind="recorded",
                rounds=plan.overload_rounds,
                seconds=plan.seconds,
                files=files,
                backends=backends,
                admit_all=plan.admit_all,
            )
            result.parts["overload"] = overload.figures(runs)


def _capacity(searches: Sequence[report.Figures]) -> int:
    """The streams of 20 ms that were found to hold, or as many as are worth an overload."""
    found = (one["streams"] for one in searches if (one["kind"], one["frame_ms"]) == ("recorded", 20))
    return min(max(next(found, 0), _LEAST_CAPACITY), _MOST_CAPACITY)


def tell(document: report.Figures, console: Console) -> None:
    """Tables, and what to mind."""
    for table in report.tables(document):
        console.print(table, soft_wrap=False)
    if document.get("searches"):
        console.print(capacity.table(document["searches"]), soft_wrap=False)
    if document.get("overhead"):
        console.print(overhead.table(document["overhead"]), soft_wrap=False)
    if document.get("memory"):
        memory.tell(document["memory"], console)
    if document.get("overload"):
        overload.tell(document["overload"], console)
    for part, why in document.get("not_measured", {}).items():
        console.print(f"! {part} was not measured: {why}", markup=False)
    for warning in report.warnings(document):
        console.print(f"! {warning}", markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        return COMMANDS[given[0]](given[1:])
    args = parser().parse_args(given)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    cores, plan, began = choose_cores(), chosen(args), time.monotonic()
    try:
        source = talks.find(args.audio)
        console.print(f"speech: {source.description}\ncores: {cores}")
        result = report.Report(
            shlex.join(["python", "-m", "bench", *given]), source.description, str(cores), versions()
        )
        asyncio.run(measure(plan, source.paths, result, console))
        if plan.overhead:
            console.print("== over raw Triton")
            log = args.output.with_suffix(".triton.log")
            try:
                result.parts["overhead"] = overhead.run(plan.overhead, source.paths, cores, log)
            except (TritonFailed, MeasurementFailed) as error:  # the rest was measured
                result.parts["not_measured"] = {"overhead": str(error)}
    except (
        talks.NoTalks,
        ServerFailed,
        RowFailed,
        MeasurementFailed,
        TritonFailed,
        TimeoutError,
        grpc.aio.AioRpcError,
    ) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted; nothing was written\n")
        return 130
    result.parts["seconds"] = round(time.monotonic() - began)
    document = result.document()
    report.write(document, args.output)
    tell(document, console)
    console.print(f"{document['seconds']} s; written to {args.output}", markup=False)
    return 0 if document["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
