"""Score recordings of one utterance each, and write one row for each file.

PATH is a recording (WAV, FLAC, OGG; 8 to 48 kHz, at most 30 s) or a folder, whose recordings and those in
folders below are taken. The whole recording is the utterance: nothing is cut off or looked for. Longer
audio, and audio with several utterances, is for `affectstream stream`.

Every file gets a row, also one that cannot be scored: its status is then ERROR and its last column says
why. With --format jsonl a row is {"file": …, "event": affectstream.v1.AffectEvent in proto3 JSON}, or
{"file": …, "error": …}.

With --resume the files that have a row in --out which did not fail are left out; the others are tried
again. A run that was killed can be gone on with. So can one whose server went away: it stops there.

Exit status: 0 every file has a row that did not fail; 1 a file failed, or the server; 2 wrong usage or
an input that cannot be read; 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from affectstream.client import AffectClient
from affectstream.commands import InputError, access, consent
from affectstream.commands.playback import run_async
from affectstream.commands.recordings import find_recordings, read_recording
from affectstream.commands.rows import CsvRows, JsonRows, Output, Row
from affectstream.errors import AffectStreamError, ConnectError, ResourceExhausted, ServerUnavailable
from affectstream.timeouts import Timeouts

_CALL_S: Final = 30.0
_TRIES_WHEN_FULL: Final = 5
_WAIT_WHEN_FULL_S: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream analyze`."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a recording, or a folder of them"
    )
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="where the server is")
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where rows go (default: standard output)")
    parser.add_argument("--resume", action="store_true", help="go on with --out: leave out what it has")
    parser.add_argument(
        "--jobs", type=jobs, default=4, metavar="N", help="files in hand at once, 1 to 64 (default: 4)"
    )
    parser.add_argument("--channel", type=int, metavar="N", help="the channel to analyse, 0 is the first")
    parser.add_argument("--cues", action="store_true", help="add pitch, energy, rate and voice quality")
    parser.add_argument("--saliency", action="store_true", help="add the parts on which each score rests")
    parser.add_argument("--model", default="", metavar="NAME", help="a model that `affectstream info` lists")
    parser.add_argument("--language", default="", metavar="TAG", help="BCP 47 tag of the language, a hint")
    consent.add_argument(parser)
    access.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Analyse the files."""
    if args.resume and args.out is None:
        raise InputError("--resume needs --out, the file to go on with")
    return run_async(_analyze(args, find_recordings(args.paths)))


async def _analyze(args: argparse.Namespace, files: Sequence[Path]) -> int:
    counts: Counter[str] = Counter()
    failed = 0
    try:
        async with access.client(args.server, args, Timeouts(call_s=_CALL_S)) as client:
            rows = (
                JsonRows()
                if args.format == "jsonl"
                else CsvRows.of(
                    await client.server_info(), args.model, cues=args.cues, saliency=args.saliency
                )
            )
            with Output(rows, args.out, resume=args.resume) as output:
                left = [file for file in files if str(file) not in output.done]
                with _progress(len(files), len(files) - len(left), shown=args.out is not None) as step:
                    async for row in _in_order(client, left, args):
                        output.write(row)
                        counts[row.status] += 1
                        failed += row.failed
                        step()
    except AffectStreamError as error:
        hint = "; start one with: affectstream serve" if isinstance(error, ConnectError) else ""
        print(f"affectstream analyze: {error}{hint}", file=sys.stderr)
        if args.out is not None and counts:
            print("affectstream analyze: go on with --resume", file=sys.stderr)
        return 1
    done = ", ".join(f"{status} {count}" for status, count in counts.most_common())
    before = len(files) - len(left)
    print(
        f"{len(files)} files: {done or 'nothing to do'}" + (f"; {before} done before" if before else ""),
        file=sys.stderr,
    )
    return 1 if failed else 0


async def _in_order(
    client: AffectClient, files: Sequence[Path], args: argparse.Namespace
) -> AsyncIterator[Row]:
    """The rows in the order of the files, with at most ``--jobs`` of them in hand."""
    waiting = iter(files)
    jobs: deque[asyncio.Task[Row]] = deque()
    try:
        while True:
            while len(jobs) < args.jobs and (file := next(waiting, None)) is not None:
                jobs.append(asyncio.create_task(_row(client, file, args)))
            if not jobs:
                return
            yield await jobs.popleft()
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


async def _row(client: AffectClient, file: Path, args: argparse.Namespace) -> Row:
    """One file's row.

    Raises:
        ServerUnavailable: it would be so for every file.
    """
    try:
        recording = await read_recording(file, args.channel)
    except InputError as error:
        return Row(str(file), error=str(error))
    tries = _TRIES_WHEN_FULL
    while True:
        try:
            event = await client.analyze(
                recording.data,
                recording.audio,
                cues=args.cues,
                saliency=args.saliency,
                model=args.model,
                language_code=args.language,
                consent_basis=consent.basis(args),
            )
            return Row(str(file), event)
        except ServerUnavailable:
            raise
        except ResourceExhausted as error:
            tries -= 1
            if not tries:
                return Row(str(file), error=str(error))
            await asyncio.sleep(_WAIT_WHEN_FULL_S if error.retry_after_s is None else error.retry_after_s)
        except AffectStreamError as error:
            return Row(str(file), error=str(error))


@contextmanager
def _progress(total: int, done: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, where rows do not go there themselves; calling what it gives moves it on."""
    if not sys.stderr.isatty() or (not shown and sys.stdout.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("files", total=total, completed=done)
        yield lambda: bar.advance(task)


def jobs(text: str) -> int:
    """A number of jobs from the command line, 1..64."""
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not within 1..64")
    return value
