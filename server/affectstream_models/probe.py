"""`affectstream-models probe`: an output of one's own, learnt from some twenty labelled clips."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress

import affectstream_server
from affectstream_models.errors import ModelsError
from affectstream_models.files import prepare_folder, write_atomically
from affectstream_models.metrics import Reals, unweighted_average_recall
from affectstream_models.predictor import OnnxPredictor, open_predictor
from affectstream_models.probe_clips import Labelled, labels_of, read_clips
from affectstream_models.probe_fit import REPEATS, Validation, Weights, fit, interval, validate

BUNDLED: Final = Path(affectstream_server.__file__).parent / "models" / "affect_embedded"
FORMAT: Final = "affectstream-user-output-1"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

EPILOG = """\
LABELS.tsv has the columns path and label, at least 5 clips of each of 2 labels, and group where known:
clips of one group, such as a speaker, are never learnt from and judged on at once. Paths are relative to it.
The file it writes holds weights and counts, and no audio. It belongs to the model it was learnt on.

examples:
  affectstream-models probe labels.tsv --out loudness.json
  affectstream-models probe labels.tsv --out loudness.json --test others.tsv
  AFFECTSTREAM_SCORING__USER_OUTPUTS='[loudness.json]' affectstream serve
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument("labels", type=Path, metavar="LABELS", help="TSV or CSV with path, label, and group")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the JSON file to write")
    parser.add_argument("--name", help="what events call it (default: as the file is called)")
    parser.add_argument(
        "--model",
        type=Path,
        metavar="MODEL",
        default=BUNDLED,
        help="ONNX file, or folder with model.onnx, as the server has it (default: the bundled one)",
    )
    parser.add_argument("--test", type=Path, metavar="FILE", help="more clips, to be judged on alone")
    parser.add_argument(
        "--keep-chance",
        action="store_true",
        help="write it even where it is not surely better than chance",
    )


def run(args: argparse.Namespace) -> int:
    """Learns, validates and writes; returns the exit status."""
    name = args.name or args.out.stem
    if not _NAME.fullmatch(name):
        raise ModelsError(f"the name {name!r} is not 1 to 64 of a-z 0-9 _ -; give one with --name")
    predictor = open_predictor(args.model)
    if not isinstance(predictor, OnnxPredictor):
        raise ModelsError(f"{args.model} hears in windows: probes on it are not served")
    clips = read_clips(args.labels)
    labels = labels_of(clips)
    others = _read_others(args.test, labels, clips) if args.test else []
    prepare_folder(args.out.parent)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("hearing", total=len(clips) + len(others))
        embeddings, held_out = (
            np.array([_hear(predictor, clip, lambda: progress.advance(task)) for clip in listed])
            for listed in (clips, others)
        )
        truth = _truth(clips, labels)
        groups = np.array([clip.group for clip in clips]) if clips[0].group else None
        task = progress.add_task("validating", total=REPEATS)
        validation = validate(embeddings, truth, groups, len(labels), advance=lambda: progress.advance(task))
    if validation is None:
        raise ModelsError(
            f"{args.labels}: some label would be missing whenever a group is left out; add groups"
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(_said(name, labels, clips, validation))
    if not validation.better_than_chance and not args.keep_chance:
        raise ModelsError(
            f"not surely better than chance ({validation.low:.2f} of {validation.chance:.2f}): nothing was "
            "written; more clips may help, other labels may, and --keep-chance writes it all the same"
        )
    probe = fit(embeddings, truth, len(labels))
    if others:
        console.print(_tested(probe, held_out, _truth(others, labels), len(labels)))
    model = {"name": predictor.name, "sha256": predictor.digest}
    content = {"format": FORMAT, "name": name, "model": model} | _content(labels, clips, probe, validation)
    write_atomically(args.out, (json.dumps(content) + "\n").encode())
    if not validation.better_than_chance:
        console.print("WARNING: written although it is not surely better than chance")
    console.print(f"wrote {args.out}")
    return 0


def _hear(predictor: OnnxPredictor, clip: Labelled, advance: Any) -> Reals:
    heard = predictor.embed(clip.waveform)
    advance()
    return heard


def _read_others(table: Path, labels: Sequence[str], clips: Sequence[Labelled]) -> list[Labelled]:
    others = read_clips(table)
    if strange := sorted(set(labels_of(others)) - set(labels)):
        raise ModelsError(f"{table} has the label {strange[0]!r}, which the clips to learn from have not")
    known = {clip.waveform.tobytes() for clip in clips}
    for clip in others:
        if clip.waveform.tobytes() in known:
            raise ModelsError(f"{table}: {clip.path.name} is among the clips to learn from")
    return others


def _truth(clips: Sequence[Labelled], labels: Sequence[str]) -> Any:
    return np.array([labels.index(clip.label) for clip in clips], dtype=np.int64)


def _content(
    labels: Sequence[str], clips: Sequence[Labelled], probe: Weights, validation: Validation
) -> dict[str, Any]:
    return {
        "labels": list(labels),
        "clips": len(clips),
        "clips_by_label": dict(Counter(clip.label for clip in clips)),
        "groups": len({clip.group for clip in clips}) if clips[0].group else None,
        "cross_validation": {
            "uar": round(validation.uar, 4),
            "low": round(validation.low, 4),
            "high": round(validation.high, 4),
            "chance": round(validation.chance, 4),
            "accuracy": round(validation.accuracy, 4),
            "majority": round(validation.majority, 4),
            "folds": validation.folds,
            "repeats": validation.repeats,
            "by_group": validation.by_group,
        },
        "date": datetime.now(UTC).date().isoformat(),
        "bias": [float(f"{value:.6g}") for value in probe.bias],
        "weights": [[float(f"{value:.6g}") for value in row] for row in probe.weights],
    }


def _said(name: str, labels: Sequence[str], clips: Sequence[Labelled], found: Validation) -> str:
    counts = Counter(clip.label for clip in clips)
    listed = ", ".join(f"{label} {counts[label]}" for label in labels)
    whole = "with whole groups left out" if found.by_group else "with clips left out"
    return (
        f"{name}: {listed} clips\n"
        f"  mean recall {found.uar:.3f} (95 % {found.low:.3f}-{found.high:.3f}), chance {found.chance:.3f}\n"
        f"  accuracy {found.accuracy:.3f}, always saying the commonest label {found.majority:.3f}\n"
        f"  {found.folds} folds {whole}, {found.repeats} times"
    )


def _tested(probe: Weights, embeddings: Reals, truth: Any, classes: int) -> str:
    told = probe.probabilities(embeddings).argmax(axis=1)
    uar = unweighted_average_recall(truth, told, classes)
    low, high = interval((told == truth).astype(float), truth, classes)
    return (
        f"  on {len(truth)} other clips: mean recall {uar:.3f} (95 % {low:.3f}-{high:.3f}), "
        f"accuracy {float((told == truth).mean()):.3f}"
    )
