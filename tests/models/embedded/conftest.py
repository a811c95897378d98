"""The shipped model, some voices, and a small audio folder of synthetic speech."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from affectstream.contract import SAMPLE_RATE_HZ
from tests.models.embedded.helpers import SHIPPED, Model, Waveform, voice


@pytest.fixture(scope="session")
def shipped() -> Model:
    return Model(SHIPPED)


@pytest.fixture(scope="session")
def voices() -> list[Waveform]:
    """Five voices, 0.1 s to 4 s long."""
    return [voice(seed, duration_s) for seed, duration_s in enumerate((0.1, 0.7, 1.31, 2.5, 4.0))]


@pytest.fixture(scope="session")
def tiny_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest: two train speakers, the dev speaker, two noises; emotions differ in pitch.

    Names are as EmoDB's: speaker, sentence, emotion, take. A woman and a man train,
    with two sentences in every emotion.
    """
    soundfile = pytest.importorskip("soundfile", reason="needs the extra `models`")
    folder = tmp_path_factory.mktemp("audio")
    rows = []
    pitches = {"neutral": (120.0, 0.05), "happy": (240.0, 0.4), "sad": (100.0, 0.01), "angry": (280.0, 0.1)}
    for split, number, gender in (("train", 1, "f"), ("train", 2, "m"), ("dev", 3, "f")):
        for sentence in ("a01", "b02") if split == "train" else ("a01",):
            for index, (emotion, (pitch_hz, swing)) in enumerate(pitches.items()):
                path = f"{number:02}{sentence}{emotion}a.flac"
                wave = voice(10 * index + number, 1.0 + 0.2 * index, pitch_hz, swing)
                soundfile.write(folder / path, wave, SAMPLE_RATE_HZ)
                rows.append((path, "emodb", split, emotion, f"emodb_{number:02}", gender, "yes"))
    for index in range(2):
        noise = np.random.default_rng(index).normal(0, 1000, SAMPLE_RATE_HZ).astype(np.int16)
        soundfile.write(folder / f"noise_{index}.flac", noise, SAMPLE_RATE_HZ)
        rows.append((f"noise_{index}.flac", "esc10", "noise-train", "-", "-", "-", "yes"))
    with (folder / "manifest.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(("path", "corpus", "split", "emotion", "speaker", "gender", "train_ok"))
        writer.writerows(rows)
    return folder
