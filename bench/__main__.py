"""`python -m bench`."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from affectstream.contract import LIMITS
from bench import report, talks
from bench.machine import choose_cores, versions
from bench.measure import Measurement, MeasurementFailed
from bench.options import within
from bench.scenario import Scenario
from bench.server import ServerFailed
from bench.vad import rows
from bench.vad.rows import RowFailed, VadRow

_ROOT: Final = Path(__file__).resolve().parent.parent
_DEFAULT: Final = (
    Scenario(100, 20, kind="listen"),
    Scenario(100, 20),
    Scenario(100, 100, kind="listen"),
    Scenario(100, 100),
    Scenario(50, 20, kind="late"),
)
_OTHER_FLOORS: Final = (Scenario(100, 20, kind="websocket"),)
_VAD: Final = tuple(row for row in rows.DEFAULT if row.row in ("ours", "batched"))

_LOG_WIDTH: Final = 110

_ABOUT: Final = """\
Drive the service with many streams at real time and measure what that costs and how long answers take.

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
  event loop probe             a health check every 250 ms; what it takes more than without streams is
                               how far behind the server's event loop is
  KiB a stream                 resident memory with the streams less that before them, over the streams
                               (shown from 50 streams on; noise below)
  driver late                  from when a frame was due to when it was sent; the lags hold it too

exit codes: 0 all finals delivered; 1 a final was missing or double, or a stream failed; 2 nothing measured

examples:
  python -m bench                                       the default, under three minutes
  python -m bench --streams 50 100 200 --seconds 20     step the load
  python -m bench --streams 2 --seconds 3 --runs 1      a look whether it works
  AFFECTSTREAM_DETECTION__TICK_MS=16 python -m bench    another setting of the server"""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m bench",
        description=_ABOUT,
        epilog=_READING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = _DEFAULT[0]
    options.add_argument(
        "--streams",
        type=within(int, 1, 5_000),
        nargs="+",
        metavar="N",
        help="concurrent streams; several: in turn (default: 10, 50, 100 at 20 ms, 100 at 100 ms)",
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


def steps(args: argparse.Namespace) -> list[Scenario | VadRow]:
    """What the options ask for, each scenario followed by its floor; the rows of VAD alone come last."""
    chosen: Sequence[Scenario] = _DEFAULT
    others: Sequence[Scenario | VadRow] = () if args.no_floor else (*_OTHER_FLOORS, *_VAD)
    if args.streams or args.frame_ms:
        chosen = [
            Scenario(streams, frame_ms, kind=kind)
            for streams in args.streams or [100]
            for frame_ms in args.frame_ms or [20]
            for kind in args.kind
        ]
        batched = () if args.no_floor else (VadRow("batched", streams) for streams in args.streams or [100])
        others = tuple(batched)
    timed = [replace(one, seconds=args.seconds, warmup_s=args.warmup) for one in dict.fromkeys(chosen)]
    floors = () if args.no_floor else tuple(replace(one, kind="floor") for one in timed)
    pairs = (pair for pair in zip(timed, floors or timed, strict=True))
    more = (replace(one, seconds=args.seconds, warmup_s=args.warmup) for one in others)
    return list(dict.fromkeys([*(one for pair in pairs for one in pair), *more]))


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _LOG_WIDTH
    cores = choose_cores()
    command = shlex.join(["python", "-m", "bench", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        source = talks.find(args.audio)
        console.print(f"speech: {source.description}\ncores: {cores}")
        result = report.Report(command, source.description, str(cores), versions())
        measurement = Measurement(steps(args), args.runs, source.paths, cores)
        asyncio.run(measurement.fill(result, console))
    except (talks.NoTalks, ServerFailed, RowFailed, MeasurementFailed) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted; nothing was written\n")
        return 130
    document = result.document()
    report.write(document, args.output)
    for table in report.tables(document):
        console.print(table, soft_wrap=False)
    for warning in report.warnings(document):
        console.print(f"! {warning}", markup=False)
    console.print(f"written to {args.output}", markup=False)
    return 0 if document["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
