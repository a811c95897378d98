"""A user's labelled clips, checked before anything is learnt from them."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream_models.dataset import Clip, Waveform
from affectstream_models.errors import ModelsError

LEAST_CLIPS: Final = 5
"""Of each label."""
LEAST_MS: Final = 500
MOST_LABELS: Final = 32
_FAULTS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Labelled:
    """A clip, what its user calls it, and whose it is."""

    path: Path
    label: str
    group: str
    """Such as a speaker: clips of one group are never learnt from and judged on at once. Empty: not said."""
    waveform: Waveform


def read_clips(table: Path) -> list[Labelled]:
    """Every row of a TSV or CSV with path and label, and group where given. Raises `ModelsError`.

    Paths are relative to the table. Each fault names its line; the first few are told at once.
    """
    rows = _read_rows(table)
    if not rows:
        raise ModelsError(f"{table} lists no clips")
    faults: list[str] = []
    clips: list[Labelled] = []
    heard: dict[bytes, int] = {}
    for line, row in rows:
        try:
            clip = _read_clip(table, row)
        except ModelsError as error:
            faults.append(f"line {line}: {error}")
            continue
        digest = hashlib.sha256(clip.waveform.tobytes()).digest()
        if (earlier := heard.setdefault(digest, line)) != line:
            faults.append(
                f"line {line}: the same audio as line {earlier}; it would be judged on what it learnt"
            )
        clips.append(clip)
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        told = "; ".join(faults[:_FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ModelsError(f"{table}: {told}")
    _check_enough(table, clips)
    return clips


def labels_of(clips: Sequence[Labelled]) -> list[str]:
    """In the order in which they come first."""
    return list(dict.fromkeys(clip.label for clip in clips))


def _read_rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="," if table.suffix == ".csv" else "\t")
            if missing := {"path", "label"} - set(reader.fieldnames or ()):
                raise ModelsError(f"{table} lacks the columns {', '.join(sorted(missing))}")
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ModelsError(f"cannot read {table}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ModelsError(f"{table} is not a table of clips: {error}") from error


def _read_clip(table: Path, row: dict[str, str]) -> Labelled:
    path, label = row.get("path") or "", (row.get("label") or "").strip()
    if not path:
        raise ModelsError("no path")
    if not label:
        raise ModelsError(f"{path} has no label")
    if len(label.encode()) > LIMITS.label_bytes:
        raise ModelsError(
            f"the label of {path} has {len(label.encode())} bytes, at most {LIMITS.label_bytes}"
        )
    waveform = Clip(table.parent / path, "own", "-", label, "-", "-", train_ok=False).read()
    length_ms = len(waveform) * 1_000 / SAMPLE_RATE_HZ
    if not LEAST_MS <= length_ms <= LIMITS.utterance_ms:
        raise ModelsError(f"{path} lasts {length_ms:.0f} ms, wanted {LEAST_MS} to {LIMITS.utterance_ms} ms")
    if not np.abs(waveform).max() > 0:
        raise ModelsError(f"{path} holds nothing but silence")
    return Labelled(table.parent / path, label, (row.get("group") or "").strip(), waveform)


def _check_enough(table: Path, clips: Sequence[Labelled]) -> None:
    counts = Counter(clip.label for clip in clips)
    if len(counts) < 2:
        raise ModelsError(f"{table} has one label, {clips[0].label!r}; an output tells two or more apart")
    if len(counts) > MOST_LABELS:
        raise ModelsError(f"{table} has {len(counts)} labels, at most {MOST_LABELS}")
    for label, count in counts.items():
        if count < LEAST_CLIPS:
            raise ModelsError(f"{table} has {count} clips of {label!r}, at least {LEAST_CLIPS} are needed")
    groups = {clip.group for clip in clips}
    if "" in groups and len(groups) > 1:
        unnamed = sum(not clip.group for clip in clips)
        raise ModelsError(f"{table} names no group for {unnamed} clips; name every one's, or nobody's")
    for label in counts:
        if groups != {""} and len({clip.group for clip in clips if clip.label == label}) < 2:
            raise ModelsError(
                f"{table} has {label!r} in one group alone: it cannot be told from that group; "
                "each label is needed in two groups or more"
            )
