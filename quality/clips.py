"""Recorded speech and noise: where it lies, what it is, how it is read."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ

AUDIO_VARIABLE: Final = "AFFECTSTREAM_AUDIO"
Wave = NDArray[np.float32]
"""Mono audio at 16 kHz, -1..1."""


class NoAudio(Exception):
    """The recordings cannot be read; the message says what was looked for and how to name it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the manifest that is used here."""

    path: str
    split: str
    label: str
    speaker: str
    seconds: float


def audio_folder(given: Path | None) -> Path:
    """The folder of recordings: ``given``, or the one that ``AFFECTSTREAM_AUDIO`` names. Raises `NoAudio`."""
    folder = given or (Path(os.environ[AUDIO_VARIABLE]) if os.environ.get(AUDIO_VARIABLE) else None)
    if folder is None:
        raise NoAudio(f"no recordings: give --audio FOLDER or set {AUDIO_VARIABLE}; see docs/segmentation.md")
    if not (folder / "manifest.tsv").is_file():
        raise NoAudio(f"no recordings: {folder} holds no manifest.tsv")
    return folder


def read_manifest(folder: Path) -> tuple[Clip, ...]:
    """Every recording that the manifest lists."""
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Clip(row["path"], row["split"], row["orig_label"], row["speaker"], float(row["duration"] or 0))
            for row in csv.DictReader(file, delimiter="\t")
        )


def read_wave(path: Path) -> Wave:
    """A recording as float32 ``[n]``. Raises `NoAudio` if it is not mono at 16 kHz."""
    audio, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE_HZ or audio.ndim != 1:
        raise NoAudio(f"{path}: got {rate} Hz, shape {audio.shape}; expected mono at {SAMPLE_RATE_HZ} Hz")
    wave: Wave = audio
    return wave


def to_pcm(wave: Wave) -> NDArray[np.int16]:
    """16-bit samples ``[n]``, clipped at full scale."""
    pcm: NDArray[np.int16] = np.rint(np.clip(wave, -1.0, 1.0) * 32_767).astype(np.int16)
    return pcm
