"""Labelled speech and noise, read from the `manifest.tsv` of an audio folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from affectstream.contract import SAMPLE_RATE_HZ

from affectstream_models.errors import ModelsError

AUDIO_ENV = "AFFECTSTREAM_AUDIO"
"""Environment variable that names the audio folder where no `--audio` is given."""

MANIFEST = "manifest.tsv"
COLUMNS = frozenset({"path", "corpus", "split", "emotion", "speaker", "gender", "duration", "train_ok"})

Waveform = npt.NDArray[np.int16]
"""Mono, 16 kHz, full scale ±32,768; shape [samples]."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the manifest."""

    path: Path
    corpus: str
    split: str
    emotion: str
    """A label of `affectstream.contract.EMOTIONS`, `other`, or `-` where there is no speech."""
    speaker: str
    gender: str
    """`m`, `f` or `-`."""
    duration_s: float
    train_ok: bool
    """Whether weights trained on it may be shipped."""

    def read(self) -> Waveform:
        """The clip's audio; refuses what is not 16 kHz mono."""
        try:
            audio, rate_hz = soundfile.read(self.path, dtype="int16")
        except (OSError, soundfile.SoundFileError) as error:
            raise ModelsError(f"cannot read {self.path}: {error}") from error
        if rate_hz != SAMPLE_RATE_HZ or audio.ndim != 1:
            raise ModelsError(
                f"{self.path} must be {SAMPLE_RATE_HZ} Hz mono, not {rate_hz} Hz {audio.ndim}-d"
            )
        waveform: Waveform = audio
        return waveform


def audio_folder(given: Path | None) -> Path:
    """The folder of `--audio`, else of AFFECTSTREAM_AUDIO; it must hold a manifest."""
    if given is None:
        from_env = os.environ.get(AUDIO_ENV)
        if not from_env:
            raise ModelsError(
                f"say where the audio is: --audio DIR, or set {AUDIO_ENV} (a folder with {MANIFEST})"
            )
        given = Path(from_env)
    if not given.is_dir():
        raise ModelsError(f"audio folder {given} does not exist")
    if not (given / MANIFEST).is_file():
        raise ModelsError(f"audio folder {given} has no {MANIFEST}")
    return given


def read_manifest(folder: Path) -> list[Clip]:
    """Every row of the folder's manifest, in the file's order."""
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = COLUMNS - set(reader.fieldnames or ())
        if missing:
            raise ModelsError(f"{folder / MANIFEST} lacks the columns {', '.join(sorted(missing))}")
        return [
            Clip(
                path=folder / row["path"],
                corpus=row["corpus"],
                split=row["split"],
                emotion=row["emotion"],
                speaker=row["speaker"],
                gender=row["gender"],
                duration_s=float(row["duration"]),
                train_ok=row["train_ok"] == "yes",
            )
            for row in reader
        ]


def select(
    clips: Iterable[Clip], *, corpus: str | None = None, split: str | None = None, labels: Iterable[str] = ()
) -> list[Clip]:
    """Clips of one corpus, split and set of labels; what is left out is not asked for."""
    wanted = frozenset(labels)
    return [
        clip
        for clip in clips
        if (corpus is None or clip.corpus == corpus)
        and (split is None or clip.split == split)
        and (not wanted or clip.emotion in wanted)
    ]
