"""All figures of a bench, as a table for people and as a document for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from bench.account import LAGS
from bench.figures import costs, figures, passed
from bench.job import Run
from bench.scenario import FLOORS, Scenario
from bench.summary import summary
from bench.vad import figures as vad
from bench.vad.row import Result
from bench.vad.rows import VadRow

SCHEMA: Final = 1
"""Grows when a key of the document changes its meaning or goes."""

_LATE_MS: Final = 5.0
_BUSY_SHARE: Final = 0.8
_FULL_SHARE: Final = 0.9
_MEMORY_STREAMS: Final = 50
"""With fewer, what the server happens to give back to the system hides what the streams hold."""

Figures = dict[str, Any]


@dataclass
class Report:
    """Collects runs, scenario by scenario and row by row."""

    command: str
    speech: str
    pinning: str
    versions: dict[str, str]
    runs: dict[Scenario, list[Run]] = field(default_factory=dict)
    rows: dict[VadRow, list[Result | None]] = field(default_factory=dict)
    rounds: dict[Scenario | VadRow, list[int]] = field(default_factory=dict)
    """In which round each of these runs was: ratios are taken within a round."""
    parts: dict[str, Any] = field(default_factory=dict)
    """What else was measured, by its key in the document."""

    def add(self, scenario: Scenario, run: Run, number: int | None = None) -> None:
        """One more run of a scenario, in round ``number``, by default the next of its own."""
        self.runs.setdefault(scenario, []).append(run)
        rounds = self.rounds.setdefault(scenario, [])
        rounds.append(len(rounds) if number is None else number)

    def add_row(self, row: VadRow, result: Result | None, number: int | None = None) -> None:
        """One more run of a row; None: it is not installed."""
        self.rows.setdefault(row, []).append(result)
        rounds = self.rounds.setdefault(row, [])
        rounds.append(len(rounds) if number is None else number)

    def document(self) -> Figures:
        """What is written to latest.json."""
        found = [
            figures(scenario, runs, self._floor_of(scenario), self._least_vad_of(scenario))
            for scenario, runs in self.runs.items()
        ]
        document = {
            "schema": SCHEMA,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "versions": self.versions,
            "pinning": self.pinning,
            "speech": self.speech,
            "passed": all(passed(one) for one in found) and not self.faults,
            "configurations": found,
            "vad": vad.figures(self.rows),
            **self.parts,
        }
        return summary(document) | document

    @property
    def faults(self) -> list[str]:
        """What must not be, beside what the scenarios saw."""
        overload: Figures = self.parts.get("overload") or {}
        return list(overload.get("faults", ()))

    def _floor_of(self, scenario: Scenario) -> Sequence[float]:
        for other, runs in self.runs.items():
            same = (other.streams, other.frame_ms) == (scenario.streams, scenario.frame_ms)
            if same and other.kind == "floor" and scenario.kind not in FLOORS:
                return self._in_rounds_of(scenario, other, costs(runs))
        return ()

    def _least_vad_of(self, scenario: Scenario) -> Sequence[float]:
        for row, results in self.rows.items():
            if (row.row, row.streams) == (vad.LEAST, scenario.streams):
                return self._in_rounds_of(scenario, row, vad.costs(results))
        return ()

    def _in_rounds_of(
        self, scenario: Scenario, other: Scenario | VadRow, values: Sequence[float]
    ) -> list[float]:
        by_round = dict(zip(self.rounds[other], values, strict=False))
        return [by_round.get(number, 0.0) for number in self.rounds[scenario]]


def write(document: Figures, path: Path) -> None:
    """Write the document whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def tables(document: Figures) -> Sequence[Table]:
    """What it costs, one row a scenario; how long it takes, one row a figure of each scenario; VAD alone."""
    cost = Table(
        "", "CPU-s an audio hour", "x floor", "x both", "KiB a stream", "finals", "scored ahead", "other work"
    )
    times = Table("ms", "count", "p50", "p95", "p99", "p99.9", "max")
    for shown in (cost, times):
        for column in shown.columns[1:]:
            column.justify = "right"
    for one in document["configurations"]:
        cost.add_row(
            one["name"],
            _spread(one["cpu_s_per_audio_hour"], 1),
            _median(one.get("floor_ratio"), 2),
            _median(one.get("always_on_ratio"), 2) if one["kind"] == "listen" else "-",
            _median(one["rss_kib_per_stream"], 0) if one["streams"] >= _MEMORY_STREAMS else "-",
            _finals(one),
            _ahead(one),
            f"{_median(one['others_cpu_share'], 1)} cores",
        )
        times.add_section()
        times.add_row(f"[bold]{one['name']}")
        for label, figure in _times_of(one).items():
            if figure["count"]:
                columns = (figure[key] for key in ("p50", "p95", "p99", "p99.9", "max"))
                times.add_row(label, str(figure["count"]), *map(_ms, columns))
    cost.caption = (
        "median (least-most of the runs); x both: of bare gRPC and the batched VAD loop; scored ahead: "
        "finals whose score was begun before the endpoint; share of all scores that speech made void; "
        "other work: what else the machine did meanwhile"
    )
    times.caption = "all streams and runs merged"
    return (cost, times, vad.table(document["vad"])) if document["vad"] else (cost, times)


def warnings(document: Figures) -> list[str]:
    """Why figures may say less of the server than they seem to, and what failed."""
    said = []
    for one in document["configurations"]:
        late_ms, busy = one["driver"]["lateness_ms"]["p99"], one["driver"]["cpu_share"]["max"]
        if busy > _BUSY_SHARE:
            said.append(f"{one['name']}: the driver used {busy:.0%} of its core; it may be the bottleneck")
        if (used := one["server_cpu_share"]["max"]) > _FULL_SHARE:
            said.append(
                f"{one['name']}: the server used {used:.0%} of a core: audio waits, at a cost not seen"
            )
        if late_ms is not None and late_ms > _LATE_MS:
            said.append(
                f"{one['name']}: the driver was {late_ms:.1f} ms late at p99; latencies hold that too"
            )
        drift_ms = max(abs(drift) for drift in one["clock_drift_ms"]["runs"])
        if drift_ms > 1:
            said.append(f"{one['name']}: the wall clock moved by {drift_ms:.1f} ms; lags are off by as much")
        if not passed(one):
            faults = one["faults"] or ["no utterance was found"]
            said.append(f"{one['name']}: FAILED, {len(faults)} faults, the first: {faults[0]}")
    return said


def _times_of(one: Figures) -> Figures:
    lags = {name: one[name] for name in LAGS if name in one}
    return lags | {
        "event loop probe": one["loop_probe_ms"],
        "  without streams": one["loop_probe_idle_ms"],
        "driver late": one["driver"]["lateness_ms"],
    }


def _spread(value: Figures, digits: int) -> str:
    return f"{value['median']:.{digits}f} ({value['min']:.{digits}f}-{value['max']:.{digits}f})"


def _median(value: Figures | None, digits: int) -> str:
    return f"{value['median']:.{digits}f}" if value else "-"


def _ms(time_ms: float) -> str:
    return f"{time_ms:.1f}" if time_ms < 100 else f"{time_ms:.0f}"


def _ahead(one: Figures) -> str:
    shares = one.get("speculation")
    if not shares or shares["hit_share"] is None:
        return "-"
    return f"{shares['hit_share']:.0%}, {shares['wasted_share']:.0%} wasted"


def _finals(one: Figures) -> str:
    finals = one.get("finals")
    return f"{finals['delivered']} of {finals['declared']}" if finals else "-"
