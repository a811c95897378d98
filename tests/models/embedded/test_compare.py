"""Several seeds side by side: every one a row, with their mean, and the clips of the manifest."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `models`")

import onnx

from affectstream_models.card import MODEL_FILE, read_card
from affectstream_models.cli import main
from affectstream_models.modelfile import save
from tests.models.embedded.helpers import SHIPPED


@pytest.fixture
def seeds(tmp_path: Path) -> list[str]:
    """The shipped model under two seeds' names: the first names every emotion, the second only anger."""
    folders = []
    for seed in (7, 8):
        folder = tmp_path / f"seed{seed}"
        folder.mkdir()
        card = replace(read_card(SHIPPED), seed=seed)
        floors = {**dict.fromkeys(card.labels, 0.0 if seed == 7 else 1.01), "angry": 0.0}
        card = replace(card, abstention=replace(card.abstention, min_probability=floors))
        save(folder, onnx.load(SHIPPED / MODEL_FILE), card)
        folders.append(str(folder))
    return folders


@pytest.fixture
def audio(tiny_audio: Path, tmp_path: Path) -> str:
    """The tiny folder, whose noises are test noises."""
    folder = tmp_path / "audio"
    folder.mkdir()
    with (tiny_audio / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    for row in rows[1:]:
        row[0] = str(tiny_audio / row[0])
        row[2] = row[2].replace("noise-train", "noise-test")
    with (folder / "manifest.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(rows)
    return str(folder)


PARTS = ("--home", "emodb/train", "--away", "emodb/dev")


def test_every_seed_is_a_row_of_every_table(
    seeds: list[str], audio: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["compare", *seeds, "--audio", audio, "--out", str(out), *PARTS]) == 0
    text = (out / "seeds.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 7
    for table in tables:
        assert len({row.count("|") for row in table}) == 1
        assert [row.split("|")[1].strip() for row in table[2:4]] == ["7", "8"]
    mean = [row.split("|")[2:] for row in tables[0][2:]]
    assert mean[0] == mean[1] == mean[2], "the same weights under two names"
    named = [row.split("|") for row in tables[-1][2:]]
    assert named[1][2].strip() == "neutral, happy, sad"
    assert float(named[1][3]) < float(named[0][3]) == 1
    assert "| 20dB | 10dB | 5dB | 0dB |" in text
    assert "compare SEEDS --home emodb/train --away emodb/dev" in text
    assert audio not in text


def test_what_cannot_be_compared_is_said(
    seeds: list[str], audio: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--audio", audio, "--out", str(tmp_path / "out"))
    assert main(["compare", seeds[0], seeds[0], *where, *PARTS]) == 2
    assert "seeds are 7, 7" in capsys.readouterr().err
    assert main(["compare", *seeds, *where, "--home", "emodb/none"]) == 2
    assert "no clip in emodb/none of neutral, happy" in capsys.readouterr().err
