"""Runs in alternation: a fresh server and a driver for each."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.backends import Backends
from bench.figures import an_hour
from bench.job import Job, Run
from bench.machine import Cores, on_core
from bench.plan import Step
from bench.report import Report
from bench.scenario import FLOORS, Scenario
from bench.server import Server
from bench.vad import rows
from bench.vad.rows import VadRow

_ROOT: Final = Path(__file__).resolve().parent.parent
_LONGEST_LINE_BYTES: Final = 1 << 24


class MeasurementFailed(Exception):
    """A driver could not do its job; the message says why."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Rounds of steps, which take turns, with the speech of some files."""

    rounds: Sequence[Sequence[Step]]
    talks: Sequence[Path]
    cores: Cores

    async def fill(self, report: Report, console: Console, backends: Backends) -> None:
        """Run everything and tell of it.

        Raises `ServerFailed`, `RowFailed`, `MeasurementFailed` and `TritonFailed`.
        """
        steps = [(number, step) for number, steps in enumerate(self.rounds) for step in steps]
        total = len(steps)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("", total=total)
            for number, (turn, step) in enumerate(steps):

                def advance(share: float, done: int = number) -> None:
                    bar.update(task, completed=done + share)

                bar.update(task, description=step.name)
                if isinstance(step, VadRow):
                    result = await rows.run(step, self.talks, self.cores.server)
                    report.add_row(step, result, turn)
                    told = f"{step.name}: {rows.in_short(result)}"
                else:
                    run = await run_once(step, self.talks, self.cores, backends, advance)
                    report.add(step, run, turn)
                    told = in_short(step, run)
                console.print(f"run {number + 1} of {total}  {told}")


async def run_once(
    scenario: Scenario,
    talks: Sequence[Path],
    cores: Cores,
    backends: Backends,
    progress: Callable[[float], None] = lambda _: None,
) -> Run:
    """One run of a scenario, with a fresh server. Raises as `Measurement.fill` does."""
    settings = await backends.settings(scenario)
    async with Server(scenario.kind, cores.server, settings) as server:
        names = tuple(str(path.resolve()) for path in talks)
        try:
            return await drive(Job(scenario, server.address, server.pid, names), cores.driver, progress)
        except MeasurementFailed as error:
            raise MeasurementFailed(server.told(str(error))) from None


async def drive(job: Job, core: int | None, progress: Callable[[float], None]) -> Run:
    """Run a driver process on ``core``; ``progress`` gets 0..1. Raises `MeasurementFailed`."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "bench.driver")
    with on_core(core):
        process = await asyncio.create_subprocess_exec(
            *command, cwd=_ROOT, stdin=pipe, stdout=pipe, limit=_LONGEST_LINE_BYTES
        )
    assert process.stdin is not None  # noqa: S101 - pipes were asked for
    assert process.stdout is not None  # noqa: S101
    run: Run | None = None
    try:
        process.stdin.write(job.to_json().encode())
        process.stdin.close()
        async for text in process.stdout:
            line = json.loads(text)
            if "progress" in line:
                progress(line["progress"])
            elif "error" in line:
                raise MeasurementFailed(f"{job.scenario.name}: {line['error']}")
            else:
                run = line["run"]
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if run is None:
        raise MeasurementFailed(f"{job.scenario.name}: the driver ended with code {code}")
    return run


def in_short(scenario: Scenario, run: Run) -> str:
    """A run in some words."""
    cpu = an_hour(run["server_cpu_s"], run["audio_s"])
    finals = f", {run['delivered']} of {run['declared']} finals" if scenario.kind not in FLOORS else ""
    return f"{scenario.name}: {cpu:.1f} CPU-s an audio hour{finals}"
