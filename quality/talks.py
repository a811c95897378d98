"""Talks: audio with the true times of its utterances."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from quality.clips import NoAudio, read_wave, to_pcm

CLEAN: Final = "clean"


@dataclass(frozen=True, slots=True)
class Span:
    """Samples ``[start, end)`` at 16 kHz."""

    start: int
    end: int

    def overlap(self, other: Span) -> int:
        """Samples that both hold; negative: how far they are apart."""
        return min(self.end, other.end) - max(self.start, other.start)


@dataclass(frozen=True, slots=True)
class Talk:
    """int16 ``[n]`` at 16 kHz, and its true utterances in order."""

    name: str
    noise: str
    """``clean``, or the level of speech over noise as ``20 dB``."""
    audio: NDArray[np.int16]
    utterances: tuple[Span, ...]
    hesitations: tuple[Span, ...] = ()
    """Pauses that were put inside utterances."""


def conversation(folder: Path) -> tuple[Talk, ...]:
    """The six talks whose times are known. Raises `NoAudio`."""
    table = folder / "conversation" / "segments.tsv"
    if not table.is_file():
        raise NoAudio(f"no recordings: {table} is missing")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    talks = []
    for path, group in groupby(rows, key=lambda row: row["path"]):
        spans = tuple(
            Span(round(float(row["start_s"]) * SAMPLE_RATE_HZ), round(float(row["end_s"]) * SAMPLE_RATE_HZ))
            for row in group
        )
        name = Path(path).stem
        level = name.rpartition("_")[2]
        noise = CLEAN if level == CLEAN else f"{level.removeprefix('snr')} dB"
        talks.append(Talk(name, noise, to_pcm(read_wave(folder / path)), spans))
    return tuple(talks)
