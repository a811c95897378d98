"""The document, the tables and the warnings."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.scenario import Scenario
from tests.bench.runs import made_run

SERVICE = Scenario(streams=100, frame_ms=20)
FLOOR = Scenario(streams=100, frame_ms=20, kind="floor")
OTHER_FLOOR = Scenario(streams=100, frame_ms=100, kind="floor")


def made_report() -> report.Report:
    made = report.Report("python -m bench", "a talk", "not pinned", {"python": "3.11"})
    made.add(OTHER_FLOOR, made_run(cpu_s=0.1))
    made.add(SERVICE, made_run(cpu_s=2.0))
    made.add(FLOOR, made_run(cpu_s=1.0))
    return made


def test_a_service_is_compared_with_the_floor_of_its_own_streams_and_frames() -> None:
    document = made_report().document()
    service = next(one for one in document["configurations"] if one["kind"] == "service")
    assert service["floor_ratio"]["runs"] == [2.0]
    assert document["passed"]
    assert document["schema"] == report.SCHEMA


def test_the_document_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    report.write({"schema": 1}, path)
    with pytest.raises(TypeError):
        report.write({"schema": object()}, path)
    assert json.loads(path.read_text(encoding="utf-8")) == {"schema": 1}
    assert list(path.parent.iterdir()) == [path]


def test_the_tables_hold_the_figures() -> None:
    console = Console(width=110, file=io.StringIO())
    with console.capture() as shown:
        for table in report.tables(made_report().document()):
            console.print(table)
    text = shown.get()
    for part in (
        "service 100 × 20 ms",
        "20.0 (20.0-20.0)",
        "2.00",
        "5 of 5",
        "decision_lag_ms",
        "driver late",
    ):
        assert part in text


def test_nothing_to_warn_of() -> None:
    assert report.warnings(made_report().document()) == []


def test_a_late_driver_and_a_fault_are_told() -> None:
    made = made_report()
    made.add(SERVICE, made_run(late_ms=40, faults=["stream 3: UNAVAILABLE: gone"]))
    late, failed = report.warnings(made.document())
    assert "driver was 40" in late
    assert failed == "service 100 × 20 ms: FAILED, 1 faults, the first: run 2, stream 3: UNAVAILABLE: gone"


def test_a_full_server_is_told() -> None:
    made = made_report()
    made.add(SERVICE, made_run(cpu_s=4.8))
    (full,) = report.warnings(made.document())
    assert "the server used 96% of a core" in full


def test_a_busy_driver_and_a_moving_clock_are_told() -> None:
    made = made_report()
    run = made_run()
    run["driver_cpu_share"], run["clock_drift_ms"] = 0.93, -4.0
    made.add(SERVICE, run)
    busy, moved = report.warnings(made.document())
    assert "the driver used 93% of its core" in busy
    assert "the wall clock moved by 4.0 ms" in moved
