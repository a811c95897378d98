"""A probe: learnt from labelled clips, judged on others, written without audio, or refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.cli import main
from affectstream_models.predictor import OnnxPredictor
from affectstream_models.probe_fit import FOLDS, fit, interval, validate
from tests.models.embedded.helpers import SHIPPED, voice
from tests.support.user_output import content

Row = tuple[str, ...]


def write(folder: Path, name: str, rows: Sequence[Row], columns: Row = ("path", "label")) -> Path:
    with (folder / name).open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([columns, *rows])
    return folder / name


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty voices: quick and high ones called `lively`, slow and low ones called `flat`, four speakers."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(40):
        lively = number % 2 == 0
        wave = voice(number, 1.0, (230.0 if lively else 105.0) + 2 * number, 0.3 if lively else 0.02)
        soundfile.write(folder / f"{number}.wav", wave, SAMPLE_RATE_HZ)
    return folder


def rows(first: int, end: int) -> list[Row]:
    return [(f"{n}.wav", ("lively", "flat")[n % 2], f"speaker{n // 2 % 4}") for n in range(first, end)]


def test_twenty_clips_make_an_output_that_is_right_about_others(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("path", "label", "group")
    learn = write(clips, "learn.tsv", rows(0, 20), columns)
    test = write(clips, "test.tsv", rows(20, 40), columns)
    out = tmp_path / "lively.json"
    assert main(["probe", str(learn), "--out", str(out), "--test", str(test)]) == 0
    said = capsys.readouterr().out
    assert "lively: lively 10, flat 10 clips" in said
    assert "always saying the commonest label 0.500" in said
    assert "4 folds with whole groups left out, 10 times" in said
    assert "on 20 other clips: mean recall 1.000" in said
    made = json.loads(out.read_text())
    model = OnnxPredictor(SHIPPED)
    assert made["model"]["sha256"] == model.digest
    assert (made["name"], made["clips"], made["groups"]) == ("lively", 20, 4)
    assert made["cross_validation"]["uar"] > 0.9
    assert made["cross_validation"]["by_group"] is True
    weights = np.array(made["weights"])
    assert weights.shape == (2, 256)
    assert out.stat().st_size < 20_000, "weights and counts, and no audio"
    for number in (20, 21):
        heard = model.embed(voice(number, 1.0, 105.0 + 125 * (number % 2 == 0) + 2 * number, 0.1))
        told = made["labels"][int(np.argmax(weights @ heard + made["bias"]))]
        assert told == ("lively", "flat")[number % 2]


def test_what_is_written_is_what_the_servers_tests_read(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "lively.json"
    assert main(["probe", str(write(clips, "l.tsv", rows(0, 20))), "--out", str(out), "--name", "how"]) == 0
    written = json.loads(out.read_text())
    model: Any = SimpleNamespace(name="m", version="1", digest="d", embedding_size=256)
    read = content(model, "how")
    assert set(read) <= set(written)
    assert written["format"] == read["format"]
    for key in ("model", "cross_validation"):
        assert set(read[key]) <= set(written[key])
    assert np.shape(written["weights"]) == np.shape(read["weights"])
    assert np.shape(written["bias"]) == np.shape(read["bias"])


def test_labels_at_random_are_refused_and_written_only_when_told(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = [(path, ("a", "b")[int(path.split(".")[0]) // 2 % 2]) for path, *_ in rows(0, 20)]
    table = write(clips, "random.tsv", shuffled)
    out = tmp_path / "random.json"
    assert main(["probe", str(table), "--out", str(out)]) == 2
    assert "not surely better than chance" in capsys.readouterr().err
    assert not out.exists()
    assert main(["probe", str(table), "--out", str(out), "--keep-chance"]) == 0
    assert "WARNING" in capsys.readouterr().out
    found = json.loads(out.read_text())["cross_validation"]
    assert found["low"] <= found["chance"] == 0.5


def test_one_of_forty_random_labellings_is_taken_for_something_not_more() -> None:
    rng = np.random.default_rng(3)
    taken = 0
    for _ in range(60):
        labels = rng.permutation(np.arange(20) % 2)
        found = validate(rng.normal(size=(20, 16)), labels, None, 2, repeats=2)
        assert found is not None
        taken += found.better_than_chance
    assert taken <= 6


def test_a_group_is_never_on_both_sides() -> None:
    """Each group has a mark of its own and one label: only who learnt the group could tell its clips."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{n}" for n in range(20)], 4)
    labels = np.repeat(rng.permutation(np.arange(20) % 2), 4)
    embeddings = np.repeat(5 * np.eye(20), 4, axis=0) + rng.normal(0, 0.1, (80, 20))
    whole = validate(embeddings, labels, groups, 2, repeats=3)
    torn = validate(embeddings, labels, None, 2, repeats=3)
    assert whole is not None
    assert torn is not None
    assert torn.uar > 0.95
    assert whole.uar < 0.7
    assert whole.folds == FOLDS


def test_groups_that_cannot_be_dealt_out_are_none() -> None:
    labels = np.array([0] * 5 + [1] * 5)
    groups = np.array(["a"] * 5 + ["b"] * 5)
    assert validate(np.random.default_rng(0).normal(size=(10, 3)), labels, groups, 2) is None


def test_rare_labels_weigh_as_much_as_common_ones() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 95 + [1] * 5)
    embeddings = rng.normal(size=(100, 4)) + 1.5 * labels[:, None]
    probe = fit(embeddings, labels, 2, decay=1.0)
    told = probe.probabilities(embeddings).argmax(axis=1)
    assert told[labels == 1].mean() >= 0.8


def test_ten_right_of_ten_are_no_certainty() -> None:
    labels = np.arange(20) % 2
    low, high = interval(np.ones(20), labels, 2)
    assert 0.8 < low < 0.9
    assert high > 0.99
    low, high = interval(np.full(20, 0.5), labels, 2)
    assert low < 0.35
    assert high > 0.65


class TestFaults:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for number in range(12):
            soundfile.write(tmp_path / f"{number}.wav", voice(number, 0.6), SAMPLE_RATE_HZ)
        soundfile.write(tmp_path / "short.wav", voice(1, 0.2), SAMPLE_RATE_HZ)
        soundfile.write(tmp_path / "long.wav", np.tile(voice(1, 1.0), 31), SAMPLE_RATE_HZ)
        soundfile.write(tmp_path / "silent.wav", np.zeros(16_000, np.int16), SAMPLE_RATE_HZ)
        soundfile.write(tmp_path / "stereo.wav", np.ones((16_000, 2), np.int16), SAMPLE_RATE_HZ)
        (tmp_path / "words.wav").write_text("this is no audio")
        return tmp_path

    def line(self, capsys: pytest.CaptureFixture[str], table: Path, *words: str) -> str:
        assert main(["probe", str(table), "--out", str(table.parent / "o.json"), *words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert not (table.parent / "o.json").exists()
        return lines[-1]

    @pytest.mark.parametrize(
        ("extra", "said"),
        [
            ([("gone.wav", "a")], "line 12: cannot read"),
            ([("words.wav", "a")], "line 12: cannot read"),
            ([("short.wav", "a")], "short.wav lasts 200 ms, wanted 500 to 30000 ms"),
            ([("long.wav", "a")], "long.wav lasts 31000 ms"),
            ([("silent.wav", "a")], "silent.wav holds nothing but silence"),
            ([("stereo.wav", "a")], "stereo.wav has 2 channels; one is needed"),
            ([("0.wav", "b")], "line 12: the same audio as line 2"),
            ([("11.wav", "")], "11.wav has no label"),
            ([("", "a")], "line 12: no path"),
            ([("11.wav", "x" * 65)], "has 65 bytes, at most 64"),
            ([("11.wav", "c")], "1 clips of 'c', at least 5 are needed"),
        ],
    )
    def test_a_fault_names_its_line(
        self, folder: Path, extra: list[Row], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        good = [(f"{n}.wav", "ab"[n % 2]) for n in range(10)]
        assert said in self.line(capsys, write(folder, "t.tsv", [*good, *extra]))

    def test_many_faults_are_told_at_once(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        gone = [(f"gone{n}.wav", "a") for n in range(5)]
        line = self.line(capsys, write(folder, "t.tsv", gone))
        assert "line 2" in line
        assert "line 4" in line
        assert "and 2 more" in line

    @pytest.mark.parametrize(
        ("columns", "made", "said"),
        [
            (("path", "label"), [(f"{n}.wav", "a") for n in range(10)], "has one label, 'a'"),
            (("path", "label"), [], "lists no clips"),
            (("path", "mood"), [("0.wav", "a")], "lacks the columns label"),
            (
                ("path", "label", "group"),
                [(f"{n}.wav", "ab"[n % 2], "x" if n else "") for n in range(10)],
                "names no group for 1 clips",
            ),
            (
                ("path", "label", "group"),
                [(f"{n}.wav", "ab"[n % 2], "xy"[n % 2]) for n in range(10)],
                "'a' in one group alone",
            ),
        ],
    )
    def test_a_table_that_cannot_teach(
        self, folder: Path, columns: Row, made: list[Row], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert said in self.line(capsys, write(folder, "t.tsv", made, columns))

    def test_a_name_that_events_cannot_carry(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        good = [(f"{n}.wav", "ab"[n % 2]) for n in range(10)]
        assert "'Mein Ton' is not" in self.line(capsys, write(folder, "t.tsv", good), "--name", "Mein Ton")

    def test_test_clips_that_were_learnt_from(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = write(folder, "t.tsv", [(f"{n}.wav", "ab"[n % 2]) for n in range(10)])
        assert "is among the clips to learn from" in self.line(capsys, table, "--test", str(table))

    def test_no_table(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "cannot read" in self.line(capsys, tmp_path / "no.tsv")
