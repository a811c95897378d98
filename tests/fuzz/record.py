"""How long each target was fuzzed, and what came of it: `make fuzz-long` keeps it for docs/reliability.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("seen.json")


@dataclass(frozen=True)
class Fuzzed:
    """The last long run of a target."""

    inputs: int
    seconds: int
    crashes: int
    """Inputs that broke something; a run ends with the first."""
    date: str
    commit: str


def kept() -> dict[str, Fuzzed]:
    """Target → its last long run."""
    if not FILE.exists():
        return {}
    return {name: Fuzzed(**run) for name, run in json.loads(FILE.read_text(encoding="utf-8")).items()}


def keep(runs: Mapping[str, Fuzzed]) -> None:
    """Put these runs in the place of those before of the same targets."""
    everything = {name: asdict(run) for name, run in sorted({**kept(), **runs}.items())}
    FILE.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


def table(runs: Mapping[str, Fuzzed]) -> list[str]:
    """Lines of Markdown."""
    if not runs:
        return ["No long run of the fuzzer (`make fuzz-long`) is recorded."]
    total = sum(run.seconds for run in runs.values())
    return [
        f"By `make fuzz-long`, {total / 60:.0f} minutes over all targets:",
        "",
        "| target | inputs | minutes | crashes | when |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {run.inputs:,} | {run.seconds / 60:.1f} | {run.crashes} | {run.date}, {run.commit} |"
            for name, run in runs.items()
        ),
    ]
