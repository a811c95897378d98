"""Two results side by side, the README's table, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import readme, report, wanted
from bench.commands import NAMED, PUBLISHED, compare, draw, named, write_readme
from bench.scenario import Kind, Scenario
from bench.vad.row import Result
from bench.vad.rows import VadRow
from tests.bench.runs import made_run

README = Path(__file__).resolve().parents[2] / "README.md"
PAGE = README.parent / "docs/performance.md"


def made_document(cpu_s: float = 2.0) -> dict[str, Any]:
    versions = {"python": "3.11", "cpu": "CPU", "cores": "2", "commit": "abc"}
    made = report.Report("python -m bench", "a talk", "not pinned", versions)
    kinds: tuple[Kind, ...] = ("service", "listen", "floor", "websocket")
    for kind in kinds:
        made.add(Scenario(100, 20, kind=kind), made_run(cpu_s=cpu_s))
    made.add(Scenario(50, 20, kind="late"), made_run())
    made.add_row(VadRow("batched", 100), Result(1.0, 360.0, 1.0, 1.0, 0))
    made.add_row(VadRow("ours", 100), Result(2.0, 360.0, 1.0, 1.0, 3))
    made.add_row(VadRow("pipecat", 10), None)
    made.parts["memory"] = {
        "idle": {"streams": 1_000, "kib_per_stream": 12.5},
        "utterance": {"streams": 50, "kib_per_second": 32.0},
        "churn": {"samples": [[0.0, 1_000.0], [2.0, 1_100.0]]},
    }
    made.parts["searches"] = [
        {"kind": "recorded", "frame_ms": 20, "processes": 1, "streams": 120, "steps": []}
    ]
    made.parts["overhead"] = [
        {
            "streams": 50,
            "above_raw": {"p50": 0.5},
            "paired": {"p50": 0.6, "p99": 0.9},
            "windows": 9,
            "times_ms": {},
        }
    ]
    return made.document()


def test_figures_have_names() -> None:
    found = made_document()
    assert found.keys() >= set(NAMED)
    assert found["cpu_s_per_audio_hour"]["always_on"]["20"]["median"] == 20.0
    assert found["cpu_s_per_audio_hour"]["always_on_to_bare_grpc_and_batched_vad"]["20"]["median"] == 0.6667
    assert found["streams_per_core"] == {"recorded 20 ms, 1 processes": 120}
    assert found["final_lag_ms"]["hits"]["p50"] == found["final_lag_ms"]["without_speculation"]["p50"]
    assert found["final_lag_ms"]["hit_share"] == 0.5
    assert found["overhead_over_triton_ms"]["50"]["above_raw"]["p50"] == 0.5
    assert found["rss_kib_per_stream"]["idle"] == 12.5
    assert found["loop_lag_ms_p99"]["20"] == pytest.approx(1.0, abs=0.01)
    assert "histogram" not in json.dumps(found["decision_lag_ms"])
    assert "histogram" in found["configurations"][0]["decision_lag_ms"]


def test_two_results_are_compared_figure_by_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, cpu_s in zip(paths, (2.0, 3.0), strict=True):
        path.write_text(json.dumps(made_document(cpu_s)), encoding="utf-8")
    assert named(made_document())["cpu_s_per_audio_hour · with_scoring · 20"] == 20.0
    assert compare([str(path) for path in paths]) == 0
    assert "1.50" in capsys.readouterr().out


def test_the_readme_is_written_between_its_markers(tmp_path: Path) -> None:
    page, other = tmp_path / "R.md", tmp_path / "performance.md"
    result, kept = tmp_path / "latest.json", tmp_path / "kept.json"
    other.write_text(f"{readme.BEGIN}\n{readme.END}\n", encoding="utf-8")
    page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n", encoding="utf-8")
    result.write_text(json.dumps(made_document()), encoding="utf-8")
    arguments = [str(result), "--readme", str(page), "--page", str(other), "--kept", str(kept)]
    assert write_readme(arguments) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| always on, nothing scored, 20 ms frames | 20.0 | 0.67 |" in text
    assert "| Affectstream, with its sessions, messages and events | 100 | 20.0 |" in text
    assert "Pipecat" not in text  # it was not installed
    document = json.loads(kept.read_text(encoding="utf-8"))
    assert readme.between(text) == readme.render(document)
    assert readme.between(other.read_text(encoding="utf-8")) == wanted.render(document)
    assert "| always-on path, 100 streams × 20 ms, in costs of bare gRPC" in other.read_text(encoding="utf-8")


def test_a_failed_run_is_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, result = tmp_path / "R.md", tmp_path / "latest.json"
    page.write_text("no place\n", encoding="utf-8")
    kept = tmp_path / "kept.json"
    arguments = [str(result), "--readme", str(page), "--page", str(page), "--kept", str(kept)]
    result.write_text(json.dumps(made_document() | {"passed": False}), encoding="utf-8")
    assert write_readme(arguments) == 1
    result.write_text(json.dumps(made_document()), encoding="utf-8")
    assert write_readme(arguments) == 2
    assert "bench: begin" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "no place\n"


def test_the_readme_says_what_was_published() -> None:
    table = readme.between(README.read_text(encoding="utf-8"))
    if not PUBLISHED.exists():
        pytest.skip("no result was published by `python -m bench readme` yet")
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert table == readme.render(published)
    assert readme.between(PAGE.read_text(encoding="utf-8")) == wanted.render(published)


def test_pictures_are_drawn_of_what_was_measured(tmp_path: Path) -> None:
    result = tmp_path / "latest.json"
    result.write_text(json.dumps(made_document()), encoding="utf-8")
    assert draw([str(result), "--folder", str(tmp_path / "drawn")]) == 0
    drawn = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert drawn == {"cost.svg", "lags.svg", "vad.svg", "churn.svg"}
