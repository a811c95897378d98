"""`python -m bench.vad`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from bench import report, talks
from bench.machine import choose_cores, versions
from bench.options import within
from bench.vad.figures import figures, table
from bench.vad.row import Result
from bench.vad.rows import DEFAULT, NAMES, RowFailed, VadRow, in_short, run

_ROOT: Final = Path(__file__).resolve().parents[2]
_ABOUT: Final = """\
Voice activity and utterances without a network: what an hour of audio costs, paced at real time.

Each run of a row is a process of its own, pinned to a core where there are two; the rows take turns. Frames
of 20 ms come due for all streams at once (--wakes: in so many parts), which is the same for all rows but
"batched": that one has its audio already, and runs one batch over all streams each 32 ms, nothing else."""


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m bench.vad",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--rows", nargs="+", choices=NAMES, metavar="ROW", help=f"of {', '.join(NAMES)}")
    options.add_argument(
        "--streams",
        type=within(int, 1, 5_000),
        nargs="+",
        metavar="N",
        help="for each row (default: ours and batched at 100 and 20, pipecat at 10, the others at 20)",
    )
    options.add_argument("--seconds", type=within(float, 0.5, 3_600), default=5.0, metavar="S")
    options.add_argument("--warmup", type=within(float, 0, 600), default=2.0, metavar="S")
    options.add_argument("--wakes", type=within(int, 1, 1_000), default=1, metavar="N")
    options.add_argument("--runs", type=within(int, 1, 100), default=3, metavar="N")
    options.add_argument("--audio", type=Path, nargs="+", default=(), metavar="FILE")
    options.add_argument("--output", type=Path, default=_ROOT / "bench/results/vad.json", metavar="FILE")
    return options


def rows(args: argparse.Namespace) -> list[VadRow]:
    """What the options ask for."""
    chosen: Sequence[VadRow] = [one for one in DEFAULT if not args.rows or one.row in args.rows]
    if args.streams:
        chosen = [VadRow(name, streams) for streams in args.streams for name in args.rows or NAMES]
    return [
        replace(one, seconds=args.seconds, warmup_s=args.warmup, wakes=args.wakes)
        for one in dict.fromkeys(chosen)
    ]


async def measure(chosen: Sequence[VadRow], rounds: int, files: Sequence[Path], console: Console) -> Runs:
    """All rows, in alternation. Raises `RowFailed`."""
    core = choose_cores().server
    runs: Runs = {row: [] for row in chosen}
    for number, row in enumerate(rounds * list(chosen), start=1):
        result = await run(row, files, core)
        runs[row].append(result)
        console.print(f"run {number} of {rounds * len(chosen)}  {row.name}: {in_short(result)}")
    return runs


Runs = dict[VadRow, list[Result | None]]


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        source = talks.find(args.audio)
        runs = asyncio.run(measure(rows(args), args.runs, source.paths, console))
    except (talks.NoTalks, RowFailed) as error:
        sys.stderr.write(f"bench.vad: {error}\n")
        return 2
    found = figures(runs)
    report.write({"versions": versions(), "speech": source.description, "vad": found}, args.output)
    console.print(table(found))
    console.print(f"written to {args.output}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
