"""The audit: what moves the answers, gaps between groups, and a report that says both."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.audit_report import beyond_chance
from affectstream_models.card import Abstention
from affectstream_models.cli import main
from affectstream_models.dataset import Clip
from affectstream_models.gaps import gaps, spreads
from affectstream_models.judge import Told
from affectstream_models.predictor import Prediction
from affectstream_models.robustness import drift
from tests.models.embedded.helpers import SHIPPED, voice

LABELS = ("neutral", "happy", "sad", "angry")


def told(emotion: str, said: str, *, gender: str = "f", speaker: str = "s", sure: float = 3.0) -> Told:
    clip = Clip(Path("x"), "own", "test", emotion, speaker, gender, train_ok=False, language="de")
    logits = tuple(sure * (label == said) for label in LABELS)
    return Told(clip, "as told", Prediction(logits, (0.8 if said == "angry" else 0.2,)))


def crowd(right: dict[str, float], clips: int = 200) -> list[Told]:
    """For each gender four speakers, of whose clips this share is heard rightly, else as neutral or sad."""
    rng = np.random.default_rng(0)
    made = []
    for gender, share in right.items():
        for number in range(clips):
            emotion = LABELS[number % 4]
            wrong = "sad" if emotion == "neutral" else "neutral"
            said = emotion if rng.random() < share else wrong
            made.append(told(emotion, said, gender=gender, speaker=f"{gender}{number // 4 % 4}"))
    return made


def test_drift_of_four_clips_by_hand() -> None:
    clean = [told("neutral", "neutral"), told("happy", "happy"), told("sad", "sad"), told("angry", "angry")]
    after = [
        told("neutral", "angry"),
        told("happy", "sad", sure=0.1),
        told("sad", "sad"),
        told("angry", "angry"),
    ]
    floors = Abstention(dict.fromkeys(LABELS, 0.5), 0, 0)
    found = drift(clean, after, LABELS, ("arousal",), floors)
    assert found.flips == 0.5
    assert found.acted_flips == 0.25
    np.testing.assert_allclose(found.dimensions["arousal"], (0.15, 0.15))
    assert found.uar_change == -0.5
    assert found.flips_interval[0] < 0.5 < found.flips_interval[1]
    strong, weak = np.exp(3) / (np.exp(3) + 3), np.exp(0.1) / (np.exp(0.1) + 3)
    spread = [strong - 1 / (np.exp(3) + 3), _moved(strong, weak), 0, 0]
    assert found.moved == pytest.approx(np.mean(spread))


def _moved(strong: float, weak: float) -> float:
    before = np.array([(1 - strong) / 3, strong, (1 - strong) / 3, (1 - strong) / 3])
    after = np.array([(1 - weak) / 3, (1 - weak) / 3, weak, (1 - weak) / 3])
    return float(np.abs(before - after).sum() / 2)


def test_nothing_moved_is_no_drift() -> None:
    clean = crowd({"f": 0.8}, 20)
    found = drift(clean, clean, LABELS, ("arousal",), None)
    assert (found.flips, found.moved, found.uar_change, found.acted_flips) == (0, 0, 0, None)


def test_a_gap_between_genders_is_found_with_its_size() -> None:
    (gap,) = gaps(crowd({"f": 0.9, "m": 0.6}), LABELS, ("arousal",))
    assert (gap.of, gap.where, gap.first.group, gap.second.group) == ("gender", "own/test", "f", "m")
    assert gap.first.speakers == 4
    assert gap.difference["UAR"] == pytest.approx(0.3, abs=0.08)
    assert "UAR" in beyond_chance(gap)
    low, high = gap.intervals["UAR"]
    assert low < gap.difference["UAR"] < high
    assert gap.difference["confidence − accuracy"] == pytest.approx(-gap.difference["UAR"], abs=0.02)


def test_groups_alike_have_no_gap() -> None:
    (gap,) = gaps(crowd({"f": 0.75, "m": 0.75}), LABELS, ("arousal",))
    assert "UAR" not in beyond_chance(gap)


def test_a_mix_of_other_emotions_is_no_gap_of_arousal() -> None:
    calm = [told("sad", "sad", gender="f", speaker=f"f{n % 4}") for n in range(40)]
    both = [told(e, e, gender=g, speaker=f"{g}{n % 4}") for g in "fm" for n in range(8) for e in LABELS]
    (gap,) = gaps(calm + both, LABELS, ("arousal",))
    assert gap.difference["mean arousal"] == pytest.approx(0)


def test_languages_that_share_no_corpus_are_said_to() -> None:
    german = [told(label, label, speaker="a") for label in LABELS]
    english = [
        replace(one, clip=replace(one.clip, corpus="other", language="en", speaker="b")) for one in german
    ]
    (gap,) = gaps(german + english, LABELS, ())
    assert (gap.of, gap.where) == ("language", "different corpora")


def test_speakers_apart_are_told_from_chance() -> None:
    alike = crowd({"f": 0.75})
    (spread,) = spreads(alike, LABELS)
    assert spread.spread <= spread.by_chance
    worse = [told(label, "neutral", speaker="mumbler") for label in LABELS for _ in range(12)]
    (spread,) = spreads(alike + worse, LABELS)
    assert spread.spread > spread.by_chance
    assert spread.speakers["mumbler"] == 0.25


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of one's own by a woman and a man."""
    folder = tmp_path_factory.mktemp("own")
    rows = [("path", "emotion", "speaker", "gender", "language")]
    for number, (speaker, gender, pitch_hz) in enumerate((("ann", "f", 220.0), ("bob", "m", 110.0))):
        for place, label in enumerate(LABELS):
            name = f"{speaker}_{label}.wav"
            wave = voice(10 * number + place, 0.6, pitch_hz * (1 + 0.1 * place))
            soundfile.write(folder / name, wave, SAMPLE_RATE_HZ)
            rows.append((name, label, speaker, gender, "de" if speaker == "ann" else "en"))
    with (folder / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def test_a_command_run_writes_report_pictures_and_json(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(SHIPPED), "--clips", str(own / "mine.csv"), "--out", str(tmp_path)]) == 0
    assert "the label flips most under" in capsys.readouterr().out
    report = (tmp_path / "report.md").read_text()
    for said in (
        "# affect-embedded",
        "| pitch +4 semitones |",
        "### gender: f against m, own/-",
        "### language: de against en, all",
        "## Speakers apart",
        "acted on as another",
    ):
        assert said in report
    assert "noise 10 dB" not in report
    for picture in ("robustness.png", "gaps.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
        assert picture in report
    found = json.loads((tmp_path / "audit.json").read_text())
    assert found["parts"][0]["drifts"][0]["clips"] == 8
    assert (
        found["digest"]
        in json.loads((tmp_path / "predictions.jsonl").read_text().splitlines()[0])["depends_on"].values()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clips", "no.csv"], "cannot read no.csv"),
        (["--on", "emodb/tset"], "no speech in emodb/tset"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(
    words: list[str], said: str, tiny_audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = [] if "--clips" in words else ["--audio", str(tiny_audio)]
    assert main(["audit", str(SHIPPED), "--out", str(tmp_path), *words, *source]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
