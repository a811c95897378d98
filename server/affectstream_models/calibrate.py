"""`affectstream-models calibrate`: probabilities fitted to one's own callers and microphones."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.progress import track

from affectstream.contract import LOGITS
from affectstream_models.card import MODEL_FILE, Calibration, Measurement, read_card
from affectstream_models.dataset import read_labelled
from affectstream_models.errors import ModelsError
from affectstream_models.files import prepare_folder
from affectstream_models.metrics import (
    Labels,
    Reals,
    calibration_error,
    softmax,
    unweighted_average_recall,
)
from affectstream_models.modelfile import save, weights_sha256
from affectstream_models.predictor import open_predictor
from affectstream_models.thresholds import NEVER, fit_floors, fit_temperature

LEAST_CLIPS = 20
FOLDS = 5
SCALE = "calibration.scale"

EPILOG = """\
Fits a temperature and a floor for each label, and writes a new model folder; what the model hears does
not change.
Take clips as the service will hear them: 100 or more, of many speakers, each emotion at least ten times.
mine.csv has the columns path and emotion, with paths relative to it.

example:
  affectstream-models calibrate MODEL --clips mine.csv --out runs/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument("model", type=Path, metavar="MODEL", help="folder with model.onnx and card.toml")
    parser.add_argument("--clips", type=Path, metavar="FILE", required=True, help="your labelled clips")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write")
    parser.add_argument(
        "--precision",
        type=float,
        default=0.8,
        metavar="P",
        help="how often a named label must be right, 0..1 (default: 0.8)",
    )


def run(args: argparse.Namespace) -> int:
    """Fits and writes; returns the exit status."""
    if not 0 < args.precision < 1:
        raise ModelsError("--precision must lie between 0 and 1")
    card = read_card(args.model)
    predictor = open_predictor(args.model)
    clips = read_labelled(args.clips, predictor.labels)
    truth = np.array([predictor.labels.index(clip.emotion) for clip in clips], dtype=np.int64)
    if len(clips) < LEAST_CLIPS or len(set(truth)) < 2:
        counted = f"{args.clips} lists {len(clips)} clips"
        raise ModelsError(f"{counted}; at least {LEAST_CLIPS} of 2 emotions are needed")
    prepare_folder(args.out)
    heard = track(clips, "hearing", console=Console(stderr=True))
    logits = np.array([predictor.predict(clip.read()).logits for clip in heard])

    temperature = fit_temperature(logits, truth)
    calibrated = softmax(logits / temperature)
    floors = fit_floors(calibrated, truth, predictor.labels, precision=args.precision)
    before, after = (
        calibration_error(softmax(logits), truth),
        calibration_error(crossed(logits, truth), truth),
    )
    model = onnx.load(args.model / MODEL_FILE)
    scale_logits(model, 1 / temperature)
    on = f"{len(clips)} clips of {args.clips.name}"
    figures = {
        "UAR": unweighted_average_recall(truth, logits.argmax(axis=1), len(predictor.labels)),
        "ECE before calibration": before,
        f"ECE, calibrated on other clips ({FOLDS} folds)": after,
    }
    new_card = replace(
        card,
        weights_sha256=weights_sha256(model),
        calibration=Calibration(
            temperature=round(card.calibration.temperature * temperature, 4),
            temperature_slope=round(card.calibration.temperature_slope * temperature, 4),
            fitted_on=on,
        ),
        abstention=replace(card.abstention, min_probability=floors),
        measured=tuple(_measured(what, value, on) for what, value in figures.items()),
    )
    save(args.out, model, new_card)
    print(f"temperature {temperature:.2f}, ECE {before:.3f} before, {after:.3f} after; wrote {args.out}")  # noqa: T201
    for label, floor in floors.items():
        when = "never named: too seldom right" if floor == NEVER else f"named from {floor:.2f}"
        print(f"  {label}: {when}")  # noqa: T201
    return 0


def crossed(logits: Reals, truth: Labels) -> Reals:
    """Probabilities [clips, classes], each with the temperature that the other folds give."""
    probabilities = np.empty_like(logits)
    # Folds go round within each class, so that every fold has clips of every class.
    fold = np.empty(len(truth), dtype=np.int64)
    fold[np.argsort(truth, kind="stable")] = np.arange(len(truth)) % FOLDS
    for held_out in range(FOLDS):
        mine = fold == held_out
        probabilities[mine] = softmax(logits[mine] / fit_temperature(logits[~mine], truth[~mine]))
    return probabilities


def scale_logits(model: onnx.ModelProto, factor: float) -> None:
    """Multiplies the graph's logits by a factor; calibrating again changes the same constant."""
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.name == SCALE:
            scaled = numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), SCALE))
            return
    raw = f"{LOGITS.name}.raw"
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == LOGITS.name:
                    names[place] = raw
    graph.initializer.append(helper.make_tensor(SCALE, TensorProto.FLOAT, [1], [factor]))
    graph.node.append(helper.make_node("Mul", [raw, SCALE], [LOGITS.name], name="calibration"))


def _measured(what: str, value: float, on: str) -> Measurement:
    date = datetime.now(UTC).date().isoformat()
    command = "affectstream-models calibrate MODEL --clips FILE --out DIR"
    return Measurement(what, round(value, 3), on, date, command)
