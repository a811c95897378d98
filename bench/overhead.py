"""What the service costs above raw Triton: `python -m bench.overhead`.

A real Triton on this machine's CPU, the service in front of it, and streams at real time. A tenth of a
second after each utterance's final, another process asks the same Triton directly for the same window, so
both sides see the same load, the same arrivals and the same noise in one run. The service's time is from
the endpoint declared to the final handed to gRPC; scores before the endpoint are off, or there would be
nothing to see. The raw side also asks through system shared memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench import recorded
from bench import talks as speech
from bench.machine import Cores, choose_cores, on_core, versions
from bench.measure import MeasurementFailed
from bench.overhead_streams import Load, Scored, drive
from bench.overhead_talks import load as load_talks
from bench.server import Server, ServerFailed
from tools.triton.server import Triton, TritonFailed

_ROOT: Final = Path(__file__).resolve().parent.parent
_MODEL: Final = "affect_embedded"
_RAW_DELAY_S: Final = 0.1
_LOADS: Final = (Load(1, 8.0, 40.0), Load(50, 1.0, 40.0))
"""One stream is sped up, or it would have too few utterances to speak of a percentile."""
_WANTED: Final = {"p50": 1.0, "p99": 5.0}

Times = dict[str, list[float]]


class RawSide:
    """The process that asks Triton directly; an async context."""

    def __init__(self, address: str, talks: Sequence[Path], core: int | None) -> None:
        self._job = {"address": address, "model": _MODEL, "talks": [str(path) for path in talks]}
        self._core = core
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> RawSide:
        pipe = asyncio.subprocess.PIPE
        with on_core(self._core):
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.overhead_raw"), cwd=_ROOT, stdin=pipe, stdout=pipe
            )
        self.say(self._job)
        if "ready" not in await self.read():
            raise MeasurementFailed("overhead: Triton did not answer when it was asked directly; see its log")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None  # noqa: S101 - __aenter__ has started it
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def say(self, line: dict[str, Any]) -> None:
        """Send it a line."""
        assert self._process is not None  # noqa: S101
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def read(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        line: dict[str, Any] = json.loads(await self._process.stdout.readline() or "{}")
        return line


async def measure(load: Load, address: str, talks: list[NDArray[np.int16]], cores: Cores) -> Times:
    """Times in ms of every window: ``service``, ``raw`` and ``shared``, in the same order."""
    found: list[Scored] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.npy" for number in range(len(talks))]
        for path, samples in zip(paths, talks, strict=True):
            np.save(path, samples)
        async with (
            Server("late", cores.server, _settings(address)) as server,
            RawSide(address, paths, cores.server) as raw,
        ):
            loop = asyncio.get_running_loop()

            def tell(scored: Scored) -> None:
                asked = {"id": len(found)} | asdict(scored)
                found.append(scored)
                loop.call_later(_RAW_DELAY_S, raw.say, asked)

            await drive(server.address, talks, load, tell)
            await asyncio.sleep(2 * _RAW_DELAY_S)
            answers = sorted([await raw.read() for _ in found], key=lambda one: int(one["id"]))
    skip = min(load.streams, len(found) // 10)  # the first utterances warm both sides up
    return {
        "service": [one.service_ms for one in found][skip:],
        "raw": [one["ms"] for one in answers][skip:],
        "shared": [one["shared_ms"] for one in answers][skip:],
    }


def _settings(address: str) -> dict[str, str]:
    return {"AFFECTSTREAM_TRITON__ADDRESS": address, "AFFECTSTREAM_TRITON__MODEL": _MODEL}


def run(loads: Sequence[Load], files: Sequence[Path], cores: Cores, log: Path) -> list[dict[str, Any]]:
    """The figures of each load, with a Triton of their own.

    Raises `NoTalks`, `TritonFailed`, `ServerFailed` and `MeasurementFailed`.
    """
    samples = load_talks(files)
    log.parent.mkdir(parents=True, exist_ok=True)
    triton = Triton(log, models=(_MODEL,))
    try:
        with on_core(cores.driver):
            triton.start()
            return [
                figures(load, asyncio.run(measure(load, triton.address, samples, cores))) for load in loads
            ]
    finally:
        triton.stop()


def figures(load: Load, times: Times) -> dict[str, Any]:
    """Percentiles of each side in ms, and how far the service's lie above the raw ones."""
    percentiles = {
        side: {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}
        for side, values in times.items()
    }
    paired = np.array(times["service"]) - np.array(times["raw"])
    return {
        **asdict(load),
        "windows": len(times["raw"]),
        **percentiles,
        "above_raw": {
            key: round(percentiles["service"][key] - percentiles["raw"][key], 3)
            for key in ("p50", "p95", "p99")
        },
        "paired": {f"p{q}": round(float(np.percentile(paired, q)), 3) for q in (50, 95, 99)},
        "times_ms": {side: [round(value, 3) for value in values] for side, values in times.items()},
    }


def table(found: Sequence[dict[str, Any]]) -> Table:
    """One row for each side of each load."""
    shown = Table("ms", "windows", "p50", "p95", "p99")
    for column in shown.columns[1:]:
        column.justify = "right"
    for one in found:
        shown.add_section()
        speed = "" if one["speed"] == 1 else f" at {one['speed']:g}x"
        shown.add_row(f"[bold]{one['streams']} streams{speed}", str(one["windows"]))
        for label, key in (
            ("through the service", "service"),
            ("ModelInfer directly", "raw"),
            ("service above direct", "above_raw"),
            ("  of the same window", "paired"),
            ("directly, shared memory", "shared"),
        ):
            shown.add_row(label, "", *(f"{one[key][q]:.2f}" for q in ("p50", "p95", "p99")))
    shown.caption = "wanted above direct: p50 at most 1, p99 at most 5"
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=int, nargs="+", metavar="N", help="default: 1 (sped up) and 50")
    parser.add_argument("--seconds", type=float, default=_LOADS[0].seconds, metavar="S", help="%(default)s")
    parser.add_argument("--audio", type=Path, nargs="+", default=(), metavar="FILE", help="speech to send")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench/results/overhead.json", metavar="FILE")
    parser.add_argument("--record", action="store_true", help="let bench.recorded remember the direct times")
    args = parser.parse_args(arguments)
    loads = [Load(n, 8.0 if n == 1 else 1.0, args.seconds) for n in args.streams or (1, 50)]
    cores = choose_cores()
    try:
        source = speech.find(args.audio)
        found = run(loads, source.paths, cores, args.output.with_suffix(".triton.log"))
    except (speech.NoTalks, TritonFailed, ServerFailed, MeasurementFailed) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    document = {"versions": versions(), "speech": source.description, "pinning": str(cores), "loads": found}
    if args.record:
        most = max(found, key=lambda one: int(one["streams"]))
        what = f"ModelInfer of {_MODEL} on this CPU, the client's own time, beside {most['streams']} streams"
        command = "python -m bench.overhead --record"
        about = {"what": what, "command": command, "versions": versions(), "pinning": str(cores)}
        recorded.record(most["times_ms"]["raw"], about)
    args.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    console.print(table(found))
    console.print(f"written to {args.output}", markup=False)
    missed = [one for one in found for key, most in _WANTED.items() if one["above_raw"][key] > most]
    if missed:
        console.print("! above what is wanted; look at the direct times: does the machine do other work?")
    return 0


if __name__ == "__main__":
    sys.exit(main())
