"""Speech for tests: real talks where the machine has them, and signals that are made here."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ

SAMPLE_TALK = Path(__file__).resolve().parents[2] / "clients/python/affectstream/samples/talk.flac"


def audio_folder() -> Path | None:
    """The folder AFFECTSTREAM_AUDIO names, if it holds a manifest."""
    name = os.environ.get("AFFECTSTREAM_AUDIO", "")
    folder = Path(name)
    return folder if name and (folder / "manifest.tsv").is_file() else None


@dataclass(frozen=True)
class Talk:
    """A talk and the true bounds of its utterances, in seconds."""

    name: str
    samples: NDArray[np.int16]
    truth: tuple[tuple[float, float], ...]


def talks(folder: Path) -> list[Talk]:
    """The six talks with known utterances."""
    bounds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with (folder / "conversation/segments.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            bounds[row["path"]].append((float(row["start_s"]), float(row["end_s"])))
    found = []
    for path, truth in sorted(bounds.items()):
        samples, rate = soundfile.read(folder / path, dtype="int16")
        assert rate == SAMPLE_RATE_HZ
        found.append(Talk(Path(path).stem, samples, tuple(truth)))
    return found


def sample_talk() -> NDArray[np.int16]:
    """The bundled talk: int16 at 16 kHz."""
    samples, rate = soundfile.read(SAMPLE_TALK, dtype="int16")
    assert rate == SAMPLE_RATE_HZ
    mono: NDArray[np.int16] = samples
    return mono


def tone(
    seconds: float, rate_hz: int = SAMPLE_RATE_HZ, hz: float = 440.0, level: float = 0.3
) -> NDArray[np.float32]:
    """A sine in -1..1; no detector takes it for speech."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)
