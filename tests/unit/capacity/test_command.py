"""`affectstream capacity`: what it says, what it takes, and what it says of what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affectstream import cli
from tests.unit.client.test_cli import fails


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["capacity", *arguments]) == 0
    return capsys.readouterr().out


def test_a_table_has_a_column_for_each_number_of_calls(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--calls", "1000", "100,000")
    assert "1,000 calls" in text
    assert "100,000 calls" in text
    assert "server processes (core)" in text
    assert "a range, not a measurement" in text
    assert "commit" in text  # where its figures are from


def test_json_has_the_needs_and_where_each_assumption_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "--calls", "1000", "2000", "--gpu", "none", "--json"))
    once, twice = (one["needs"]["server processes"]["at_worst"] for one in found["estimates"])
    assert 1 <= once < twice <= 2 * once
    assert found["gpu"] is None
    assert all(one["source"] for one in found["assumptions"].values())


def test_a_measured_card_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [
        {
            "mode": mode,
            "batch": batch,
            "latency_ms": factor * (2 + 4 * batch),
            "utterances_per_s": batch / factor,
        }
        for mode, factor in (("eager", 3.0), ("CUDA graph", 1.0))
        for batch in (1, 8, 32)
    ]
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"card": "a card", "rows": rows}))
    text = said(capsys, "--calls", "1000", "--gpu", str(card))
    assert "a card, measured: 250 windows a second" in text  # 4 ms a window, the faster mode


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--calls", "0"), "expected 1 to 1,000,000,000 calls, not 0"),
        (("--calls", "many"), "--calls"),
        (("--calls", "9", "--gpu", "tpu"), "--gpu: got 'tpu', expected h100"),
        (("--calls", "9", "--core-share", "1.5"), "at most 0.95 of a core, not 1.5"),
        (("--calls", "9", "--utterances-per-minute", "0"), "at most 120 utterances a minute, not 0"),
        (("--calls", "9", "--bus", "b.json"), "--bus: expected with --figures"),
        (("--calls", "9", "--figures", "gone.json"), "gone.json: "),
    ],
)
def test_what_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], what: str
) -> None:
    status, text = fails(capsys, "capacity", *arguments)
    assert status == 2
    assert what in text


@pytest.mark.parametrize(
    ("text", "what"),
    [("{", "figures.json: "), ("[]", "not a result of python -m bench"), ('{"rows": 1}', "'configurations'")],
)
def test_a_file_that_is_no_result_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, what: str
) -> None:
    file = tmp_path / "figures.json"
    file.write_text(text)
    for option in ("--figures", "--gpu"):
        status, told = fails(capsys, "capacity", "--calls", "9", option, str(file))
        assert status == 2
        assert what in told or option == "--gpu"
