"""Talks put together from clips of acted speech, whose emotion is known."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ

GAP_S = 1.0
"""Between two clips: they are two utterances."""


def clips(folder: Path, emotion: str, speaker: str = "", corpus: str = "emodb/test") -> list[Path]:
    """Clips with this emotion, in the manifest's order; without a speaker: of all."""
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        return [
            folder / row["path"]
            for row in csv.DictReader(file, delimiter="\t")
            if row["path"].startswith(corpus)
            and row["emotion"] == emotion
            and (not speaker or row["speaker"] == speaker)
        ]


def talk(paths: Sequence[Path]) -> NDArray[np.int16]:
    """The clips one after another in a quiet room: int16 at 16 kHz."""
    rng = np.random.default_rng(0)
    pause = round(GAP_S * SAMPLE_RATE_HZ)
    parts = [rng.normal(0, 3, pause)]
    for path in paths:
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == SAMPLE_RATE_HZ
        parts += [samples, rng.normal(0, 3, pause)]
    return np.concatenate(parts).round().astype(np.int16)


def bounds(paths: Sequence[Path]) -> list[tuple[float, float]]:
    """Where each clip of the talk begins and ends, in seconds."""
    found, position = [], GAP_S
    for path in paths:
        seconds = soundfile.info(path).duration
        found.append((position, position + seconds))
        position += seconds + GAP_S
    return found
