"""Labelled speech and noise, read from the `manifest.tsv` of an audio folder."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from scipy import signal

from affectstream.contract import DIMENSIONS, SAMPLE_RATE_HZ
from affectstream_models.errors import ModelsError

AUDIO_ENV = "AFFECTSTREAM_AUDIO"
"""Environment variable that names the audio folder where no `--audio` is given."""

MANIFEST = "manifest.tsv"
COLUMNS = frozenset({"path", "corpus", "split", "emotion", "speaker", "gender", "train_ok"})

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
    train_ok: bool
    """Whether weights trained on it may be shipped."""

    dims: Mapping[str, float] = field(default_factory=dict)
    """What listeners said, 0..1, by dimension; empty where nobody was asked."""
    language: str = "-"
    """BCP 47 tag, or `-`."""

    def read(self) -> Waveform:
        """The clip's audio, brought to 16 kHz; refuses more than one channel."""
        try:
            audio, rate_hz = soundfile.read(self.path, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise ModelsError(f"cannot read {self.path}: {error}") from error
        if audio.shape[1] != 1:
            raise ModelsError(f"{self.path} has {audio.shape[1]} channels; one is needed")
        if len(audio) == 0:
            raise ModelsError(f"{self.path} holds no audio")
        mono = audio[:, 0]
        if rate_hz != SAMPLE_RATE_HZ:
            common = math.gcd(rate_hz, SAMPLE_RATE_HZ)
            mono = signal.resample_poly(mono, SAMPLE_RATE_HZ // common, rate_hz // common)
        return np.asarray(np.clip(np.round(mono * 32768), -32768, 32767), dtype=np.int16)


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
    return _read_table(folder / MANIFEST, "\t", COLUMNS)


def read_labelled(table: Path, labels: Iterable[str]) -> list[Clip]:
    """Clips of one's own: a CSV or TSV with path and emotion; speaker, gender and language where known.

    Paths are relative to the table. Every emotion must be one of `labels`.
    """
    known = frozenset(labels)
    clips = _read_table(table, "\t" if table.suffix == ".tsv" else ",", frozenset({"path", "emotion"}))
    for clip in clips:
        if clip.emotion not in known:
            raise ModelsError(f"{table}: emotion {clip.emotion!r} is none of {', '.join(sorted(known))}")
    if not clips:
        raise ModelsError(f"{table} lists no clips")
    return clips


def _read_table(table: Path, delimiter: str, needed: frozenset[str]) -> list[Clip]:
    try:
        with table.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            if missing := needed - set(reader.fieldnames or ()):
                raise ModelsError(f"{table} lacks the columns {', '.join(sorted(missing))}")
            return [_clip(table.parent, row) for row in reader]
    except OSError as error:
        raise ModelsError(f"cannot read {table}: {error.strerror}") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise ModelsError(f"{table} is not a table of clips: {error}") from error


def _clip(folder: Path, row: Mapping[str, str]) -> Clip:
    return Clip(
        path=folder / row["path"],
        corpus=row.get("corpus") or "own",
        split=row.get("split") or "-",
        emotion=row["emotion"],
        speaker=row.get("speaker") or "-",
        gender=row.get("gender") or "-",
        train_ok=row.get("train_ok") == "yes",
        dims={name: float(row[name]) for name in DIMENSIONS if row.get(name)},
        language=row.get("language") or "-",
    )


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
