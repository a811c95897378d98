"""The rows, and the process that each run of one is."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.figures import an_hour
from bench.machine import on_core
from bench.vad.row import Plan, Result

_ROOT: Final = Path(__file__).resolve().parents[2]
_PEERS_PYTHON: Final = _ROOT / ".venv-integrations/bin/python"
_MODULES: Final = {
    "ours": "bench.vad.ours",
    "ours-stages": "bench.vad.stages",
    "batched": "bench.vad.silero",
    "plain": "bench.vad.silero",
    "livekit-silero": "bench.vad.livekit",
    "livekit-built-in": "bench.vad.livekit",
    "pipecat": "bench.vad.pipecat",
}
_OF_PEERS: Final = {"livekit-silero", "livekit-built-in", "pipecat"}
_EXTRA_S: Final = 60.0
NAMES: Final = tuple(_MODULES)


@dataclass(frozen=True, slots=True)
class VadRow:
    """One way of finding utterances, in so many streams."""

    row: str
    streams: int
    seconds: float = 5.0
    warmup_s: float = 2.0
    wakes: int = 1
    """Times in a frame's 20 ms at which frames come due, each for as many of the streams."""

    @property
    def name(self) -> str:
        return f"vad {self.row} {self.streams}"


DEFAULT: Final = (
    VadRow("ours", 100),
    VadRow("ours-stages", 100),
    VadRow("batched", 100),
    VadRow("ours", 20),
    VadRow("ours-stages", 20),
    VadRow("batched", 20),
    VadRow("plain", 20),
    VadRow("livekit-silero", 20),
    VadRow("livekit-built-in", 20),
    VadRow("pipecat", 10),
)


class RowFailed(Exception):
    """A row's process did not do its job; the message ends with what it wrote to stderr."""


def missing(row: VadRow) -> str:
    """Why a row cannot run here; empty: it can."""
    if row.row in _OF_PEERS and not _PEERS_PYTHON.exists():
        return "not installed: make .venv-integrations/.ready"
    return ""


async def run(row: VadRow, talks: Sequence[Path], core: int | None) -> Result | None:
    """Run a row once, on ``core``; None where its package is not installed. Raises `RowFailed`."""
    if missing(row):
        return None
    values = asdict(row)
    plan = Plan(
        talks=tuple(str(path.resolve()) for path in talks),
        **{key: values[key] for key in ("streams", "seconds", "warmup_s", "wakes")},
    )
    python = str(_PEERS_PYTHON) if row.row in _OF_PEERS else sys.executable
    pipe = asyncio.subprocess.PIPE
    with on_core(core):
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", _MODULES[row.row], row.row, json.dumps(asdict(plan))),
            cwd=_ROOT,
            stdout=pipe,
            stderr=pipe,
        )
    try:
        async with asyncio.timeout(row.seconds + row.warmup_s + _EXTRA_S):
            said, complaint = await process.communicate()
    except TimeoutError:
        raise RowFailed(f"{row.name}: not over in time") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        told = complaint.decode(errors="replace")
        if row.row in _OF_PEERS and "ModuleNotFoundError" in told:
            return None
        raise RowFailed("\n".join([f"{row.name}: ended with code {process.returncode}", *_last(told)]))
    return Result(**json.loads(said.decode().splitlines()[-1]))


def in_short(result: Result | None) -> str:
    """A run in some words."""
    if result is None:
        return "not installed"
    return f"{an_hour(result.cpu_s, result.audio_s):.1f} CPU-s an audio hour"


def _last(text: str) -> list[str]:
    return text.splitlines()[-20:]
