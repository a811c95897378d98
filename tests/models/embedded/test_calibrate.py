"""Calibration to one's own clips: probabilities change, what is heard does not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.calibrate import crossed, scale_logits
from affectstream_models.card import read_card
from affectstream_models.cli import main
from affectstream_models.metrics import calibration_error, softmax
from tests.models.embedded.helpers import SHIPPED, Model, Waveform, voice


@pytest.fixture
def own_clips(tmp_path: Path) -> Path:
    """Forty voices with labels that have nothing to do with them: no model can be sure of these."""
    labels = ("neutral", "happy", "sad", "angry")
    rows = [("path", "emotion")]
    for index in range(40):
        soundfile.write(tmp_path / f"{index}.wav", voice(index, 0.6, 100 + 5 * index), SAMPLE_RATE_HZ)
        rows.append((f"{index}.wav", labels[index * 7 % 4]))
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "mine.csv"


def test_scaling_twice_multiplies(tmp_path: Path, shipped: Model, voices: list[Waveform]) -> None:
    model = onnx.load(SHIPPED / "model.onnx")
    for factor in (0.5, 0.25):
        scale_logits(model, factor)
    onnx.checker.check_model(model, full_check=True)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    ours, theirs = Model(tmp_path).hear(voices), shipped.hear(voices)
    np.testing.assert_allclose(ours[0], theirs[0] / 8, atol=1e-5)
    np.testing.assert_array_equal(ours[2], theirs[2])


def test_a_run_writes_a_model_that_is_less_sure(own_clips: Path, tmp_path: Path, shipped: Model) -> None:
    out = tmp_path / "out"
    assert main(["calibrate", str(SHIPPED), "--clips", str(own_clips), "--out", str(out)]) == 0
    before, after = read_card(SHIPPED), read_card(out)
    factor = after.calibration.temperature / before.calibration.temperature
    assert factor > 2
    assert "40 clips of mine.csv" in after.calibration.fitted_on
    assert after.weights_sha256 != before.weights_sha256
    assert {row.what for row in after.measured} >= {"UAR", "ECE before calibration"}
    wave = voice(3, 1.0)
    ours, theirs = Model(out).hear([wave]), shipped.hear([wave])
    np.testing.assert_allclose(ours[0] * factor, theirs[0], rtol=1e-3)
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_crossed_probabilities_are_calibrated_and_do_not_see_their_own_truth() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (600, 4))
    truth = np.array([rng.choice(4, p=row) for row in softmax(logits)])
    assert calibration_error(crossed(logits * 4, truth), truth) < 0.06
    assert calibration_error(softmax(logits * 4), truth) > 0.15


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("path,emotion\n", "lists no clips"),
        ("path\na.wav\n", "lacks the columns emotion"),
        ("path,emotion\n" + "a.wav,sad\n" * 19, "at least 20 of 2 emotions"),
        ("path,emotion\n" + "a.wav,sad\n" * 30, "at least 20 of 2 emotions"),
        ("path,emotion\n" + "a.wav,sad\nb.wav,angry\n" * 20, "cannot read"),
    ],
)
def test_faults_are_named(table: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.csv").write_text(table)
    words = ["calibrate", str(SHIPPED), "--clips", str(tmp_path / "mine.csv"), "--out", str(tmp_path / "o")]
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_precision_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["calibrate", str(SHIPPED), "--clips", "x.csv", "--out", str(tmp_path), "--precision", "80"]
    assert main(words) == 2
    assert "--precision must lie between 0 and 1" in capsys.readouterr().err
