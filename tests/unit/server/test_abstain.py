"""When a score is not acted on: the signal first, then how much speech, then how sure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.embedded import BUNDLED, EmbeddedScorer, ModelRejected
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.settings import SettingsError, load
from affectstream_server.stages.abstain import standing

MODEL = ModelInfo(
    "m",
    "1",
    ("neutral", "happy", "sad", "angry"),
    (),
    "d",
    "fp32",
    480_000,
    True,
    1,
    abstain_below={"sad": 0.6, "happy": 1.01},
    min_snr_db=5.0,
    min_speech_ms=750,
)
OK, ABSTAINED, LOW_SNR = pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED, pb.AFFECT_STATUS_LOW_SNR


@pytest.mark.parametrize(
    ("told", "snr_db", "speech_ms", "status", "why"),
    [
        (("sad", 0.6), 5.0, 750, OK, ""),
        (("sad", 0.6), None, 750, OK, ""),
        (("sad", 0.59), 30.0, 2_000, ABSTAINED, "0.60"),
        (("sad", 0.9), 30.0, 749, ABSTAINED, "749 ms of speech, acted on from 750 ms"),
        (("sad", 0.5), 30.0, 400, ABSTAINED, "750 ms; sad is acted on from"),
        (("sad", 0.9), 4.9, 2_000, LOW_SNR, "5 dB"),
        (("sad", 0.1), -3.0, 400, LOW_SNR, "-3 dB above the noise; acted on from 5 dB"),
        (("happy", 1.0), 30.0, 2_000, ABSTAINED, "happy is never acted on"),
        (("angry", 0.3), 30.0, 2_000, OK, ""),
    ],
)
def test_status_and_reason(
    told: tuple[str, float],
    snr_db: float | None,
    speech_ms: int,
    status: pb.AffectStatus.ValueType,
    why: str,
) -> None:
    found, detail = standing(MODEL, *told, snr_db=snr_db, speech_samples=speech_ms * 16)
    assert found == status
    assert why in detail
    assert bool(detail) == (status != OK)


def own_model(folder: Path, thresholds: str) -> Path:
    shutil.copy(BUNDLED / "model.onnx", folder)
    (folder / "card.toml").write_text(f"[abstention]\n{thresholds}\n")
    return folder


def test_a_card_says_from_where_its_model_is_acted_on(tmp_path: Path) -> None:
    bundled = EmbeddedScorer().model
    assert bundled.min_snr_db is not None
    assert bundled.min_speech_ms > 0
    told = EmbeddedScorer(own_model(tmp_path, "min_snr_db = 7.5\nmin_speech_ms = 900")).model
    assert (told.min_snr_db, told.min_speech_ms, told.abstain_below) == (7.5, 900, {})
    (tmp_path / "card.toml").unlink()
    bare = EmbeddedScorer(tmp_path).model
    assert (bare.min_snr_db, bare.min_speech_ms) == (None, 0)


@pytest.mark.parametrize("bad", ['min_snr_db = "low"', "min_speech_ms = [1]", "min_probability = 3", "=", ""])
def test_a_card_that_cannot_be_read_is_refused_by_name(tmp_path: Path, bad: str) -> None:
    folder = own_model(tmp_path, bad)
    if not bad:
        (folder / "card.toml").write_text("abstention = 5\n")
    with pytest.raises(ModelRejected, match=r"card\.toml: \[abstention\]"):
        EmbeddedScorer(folder)


@pytest.mark.parametrize("key", ["min_snr_db", "min_speech_ms"])
def test_settings_out_of_range_are_named(key: str) -> None:
    with pytest.raises(SettingsError, match=rf"scoring\.{key}: got '-21'"):
        load(environ={f"AFFECTSTREAM_SCORING__{key.upper()}": "-21"})


@pytest.mark.parametrize(
    ("floors", "named"),
    [
        ("{angry: 2.5}", r"scoring\.min_probability\.angry: got 2\.5: .*less than or equal to 2"),
        ("{furious: 0.5}", r"scoring\.min_probability\.furious.*'neutral', 'happy'"),
        ("0.5", r"scoring\.min_probability: got '0\.5'"),
    ],
)
def test_floors_that_cannot_be_are_named(floors: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load(environ={"AFFECTSTREAM_SCORING__MIN_PROBABILITY": floors})
    given = load(environ={"AFFECTSTREAM_SCORING__MIN_PROBABILITY": "{angry: 0.7, sad: 1.01}"})
    assert given.scoring.min_probability == {"angry": 0.7, "sad": 1.01}
