"""Evaluation: over any predictor, resumable, with a report that says what was measured."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.card import Abstention
from affectstream_models.cli import main
from affectstream_models.conditions import conditions
from affectstream_models.dataset import Clip, read_manifest, select
from affectstream_models.evaluation import Material, group_by_group, hear
from affectstream_models.judge import Told, judge
from affectstream_models.predictions import PredictionLog
from affectstream_models.predictor import OnnxPredictor, Prediction
from affectstream_models.report import Evaluation, markdown
from tests.models.embedded.helpers import SHIPPED, Model, Waveform, voice

LABELS = ("neutral", "happy", "sad", "angry")


@dataclass
class Oracle:
    """Tells emotions by the loudness that `clips_of` gives them, and counts its calls."""

    name: str = "oracle 1"
    digest: str = "d1"
    labels: tuple[str, ...] = LABELS
    dimensions: tuple[str, ...] = ("arousal",)
    heard: list[int] = field(default_factory=list)

    def predict(self, waveform: Waveform) -> Prediction:
        told = int(waveform[0]) // 1000
        self.heard.append(told)
        return Prediction(
            tuple(3.0 * (index == told) for index in range(4)), (0.9 if told in (1, 3) else 0.1,)
        )


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Two clips of each label by two speakers; the loudness is the label's place times 1,000."""
    made = []
    for index, label in enumerate(LABELS):
        for speaker in ("ann", "bob"):
            path = tmp_path / f"{label}_{speaker}.wav"
            soundfile.write(path, np.full(1600, index * 1000, dtype=np.int16), SAMPLE_RATE_HZ)
            gender = "f" if speaker == "ann" else "m"
            language = "de" if speaker == "ann" else "en"
            clip = Clip(path, "own", "test", label, speaker, gender, train_ok=False, language=language)
            made.append(clip)
    return made


def told(emotion: str, logits: tuple[float, ...], arousal: float, listeners: float | None = None) -> Told:
    dims = {} if listeners is None else {"arousal": listeners}
    clip = Clip(Path("x"), "own", "test", emotion, "s", "f", train_ok=False, dims=dims)
    return Told(clip, "clean", Prediction(logits, (arousal,)))


def test_figures_of_four_clips_by_hand() -> None:
    sure, unsure = np.log(0.97), np.log(0.01)
    rows = [
        told("neutral", (sure, unsure, unsure, unsure), 0.2, 0.0),
        told("angry", (unsure, unsure, unsure, sure), 0.9, 1.0),
        told("happy", (unsure, unsure, unsure, sure), 0.3, 0.5),
        told("angry", (unsure, unsure, unsure, sure), 0.8),
        told("surprised", (sure, unsure, unsure, unsure), 0.9),
    ]
    figures = judge(rows, LABELS, ("arousal",), resamples=20)
    assert figures.clips == 4
    assert figures.accuracy == 0.75
    assert figures.uar == pytest.approx(2 / 3)
    assert figures.recalls["happy"] == 0
    assert figures.confidence == pytest.approx(0.97)
    assert figures.confusion[1] == (0, 0, 0, 1)
    assert figures.arousal_halves == pytest.approx((2 / 3 + 1) / 2)
    # Means 0.5 and 0.4667, variances 0.1667 and 0.0956, covariance 0.1167.
    assert figures.ccc["arousal"] == pytest.approx(0.2333 / (0.1667 + 0.0956 + 0.0011), abs=1e-3)
    assert figures.abstained is None


def test_abstention_names_only_above_the_floor_of_the_label_told() -> None:
    rows = [
        told("neutral", (2.0, 0, 0, 0), 0.1),
        told("neutral", (0, 0, 0, 2.0), 0.1),
        told("angry", (0, 0, 0, 4.0), 0.1),
    ]
    floors = Abstention(dict(zip(LABELS, (0.5, 0.5, 0.5, 0.9), strict=True)), 0, 0)
    figures = judge(rows, LABELS, (), floors, resamples=5)
    assert figures.abstained is not None
    assert figures.abstained.coverage == pytest.approx(2 / 3)
    assert figures.abstained.accuracy == 1
    assert figures.arousal_halves is None


def test_hears_each_clip_once_and_goes_on_after_a_stop(clips: list[Clip], tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    material = Material(clips, [], ["clean"])
    first = Oracle()
    whole = hear(first, material, log)
    assert len(first.heard) == len(whole) == material.trials == 8

    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:4]) + lines[4][:20])
    second = Oracle()
    assert hear(second, material, log) == whole
    assert len(second.heard) == 5

    third = Oracle()
    assert hear(third, material, log) == whole
    assert third.heard == []


def test_another_model_or_other_clips_start_anew(clips: list[Clip], tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    hear(Oracle(), Material(clips, [], ["clean"]), log)
    for other, material in (
        (Oracle(digest="d2"), Material(clips, [], ["clean"])),
        (Oracle(digest="d2"), Material(clips[:4], [], ["clean"])),
    ):
        hear(other, material, log)
        assert len(other.heard) == len(material.clips)


def test_the_log_is_readable_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with PredictionLog(path, {"model": "m"}) as log:
        log.add(("a", "clean"), Prediction((1.0,), ()))
        assert [json.loads(line) for line in path.read_text().splitlines()][1]["path"] == "a"


def test_groups_are_the_whole_then_languages_speakers_genders(clips: list[Clip], tmp_path: Path) -> None:
    oracle = Oracle()
    heard = hear(oracle, Material(clips, [], ["clean"]), tmp_path / "log")
    groups = list(group_by_group(heard, oracle, None))
    assert [group.subset for group in groups] == [
        *("all", "language de", "language en"),
        *("speaker ann", "speaker bob", "gender f", "gender m"),
    ]
    assert groups[0].figures.uar == 1
    assert groups[0].figures.clips == 8
    assert groups[1].figures.clips == 4


def test_conditions_alter_as_named() -> None:
    clip = voice(1, 1.0)
    noise = np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE_HZ).astype(np.int16)
    heard = conditions([noise], ["clean", "telephone", "20dB", "0dB"])
    np.testing.assert_array_equal(heard["clean"](clip, 0), clip)
    shares = []
    for name in ("20dB", "0dB"):
        noisy = heard[name](clip, 0).astype(float)
        shares.append(np.corrcoef(noisy, clip)[0, 1] ** 2)
    # At a ratio of s, speech is s / (1 + s) of the power.
    assert shares == pytest.approx([100 / 101, 1 / 2], abs=0.02)
    high = np.abs(np.fft.rfft(heard["telephone"](clip, 0)))[5000:]
    assert high.mean() < 0.1 * np.abs(np.fft.rfft(clip))[5000:].mean()


def test_a_command_run_writes_report_and_pictures(tiny_audio: Path, tmp_path: Path) -> None:
    words = [
        "evaluate",
        str(SHIPPED),
        "--audio",
        str(tiny_audio),
        "--out",
        str(tmp_path),
        "--on",
        "emodb/train",
    ]
    assert main([*words, "--conditions", "clean", "telephone"]) == 0
    report = (tmp_path / "report.md").read_text()
    for said in (
        "affect-embedded",
        "| emodb/train | telephone | 16 |",
        "## By speaker",
        "Thresholds: neutral",
    ):
        assert said in report
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 4
    assert all(picture.read_bytes().startswith(b"\x89PNG") and picture.name in report for picture in pictures)


def test_report_of_ccc_where_clips_carry_values() -> None:
    oracle = Oracle()
    rows = [told("happy", (0, 1, 0, 0), 0.9, 0.9), told("sad", (0, 0, 1, 0), 0.1, 0.1)]
    groups = list(group_by_group(rows, oracle, None))
    text = markdown(Evaluation("m", "d", LABELS, "2026-01-01", "c", None, groups, 3), {})
    assert "| own/test | clean | arousal | 1.000 |" in text
    assert "3 clips of other emotions" in text
    assert "Thresholds" not in text


def test_own_clips_at_any_rate(tmp_path: Path, shipped: Model) -> None:
    soundfile.write(tmp_path / "a.wav", voice(1, 1.0), 48_000)
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "emotion"), ("a.wav", "sad")])
    words = [
        "evaluate",
        str(shipped.folder),
        "--clips",
        str(tmp_path / "mine.csv"),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main(words) == 0
    assert "| own/- | clean | 1 |" in (tmp_path / "o" / "report.md").read_text()


class TestFaults:
    def line(self, capsys: pytest.CaptureFixture[str], *words: str) -> str:
        assert main(["evaluate", *words]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        return lines[0]

    def test_no_such_model(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert "cannot read" in self.line(capsys, str(tmp_path / "no.onnx"), "--out", str(tmp_path))

    def test_not_a_model(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"hello")
        assert "not a model that ONNX Runtime loads" in self.line(
            capsys, str(tmp_path), "--out", str(tmp_path)
        )

    def test_no_such_part(self, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_audio: Path) -> None:
        words = (str(SHIPPED), "--out", str(tmp_path), "--audio", str(tiny_audio), "--on", "emodb/tset")
        assert "no speech in emodb/tset" in self.line(capsys, *words)

    def test_noise_needs_the_manifest(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        words = (str(SHIPPED), "--out", str(tmp_path), "--clips", "mine.csv", "--conditions", "10dB")
        assert "takes its noise from --audio" in self.line(capsys, *words)

    def test_unknown_emotion(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "mine.csv").write_text("path,emotion\na.wav,glad\n")
        words = (str(SHIPPED), "--out", str(tmp_path), "--clips", str(tmp_path / "mine.csv"))
        assert "emotion 'glad' is none of angry, happy, neutral, sad" in self.line(capsys, *words)

    def test_clip_longer_than_the_model_takes(self) -> None:
        with pytest.raises(Exception, match=r"lasts 30\.1 s.*30\.0 s at most"):
            OnnxPredictor(SHIPPED).predict(np.zeros(481_600, dtype=np.int16))


def test_a_short_clip_is_heard() -> None:
    assert len(OnnxPredictor(SHIPPED).predict(np.zeros(10, dtype=np.int16)).logits) == 4


def test_select_leaves_out_what_is_not_asked_for(tiny_audio: Path) -> None:
    clips = read_manifest(tiny_audio)
    assert len(select(clips, corpus="emodb")) == 20
    assert len(select(clips, corpus="emodb", split="dev", labels=("sad",))) == 1
    assert len(select(clips, split="noise-train")) == 2
