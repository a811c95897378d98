"""`affectstream-models train`: the embedded model, from a folder of audio to a folder with model and card."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import Progress

from affectstream_models.card import MODEL_FILE, Measurement
from affectstream_models.dataset import Clip, Waveform, audio_folder, read_manifest, select
from affectstream_models.embedded import LABELS, EmbeddedModel
from affectstream_models.embedded_card import embedded_card
from affectstream_models.errors import ModelsError
from affectstream_models.files import prepare_folder
from affectstream_models.fit import Examples, Recipe, fit_heads
from affectstream_models.listen import listen
from affectstream_models.metrics import unweighted_average_recall
from affectstream_models.modelfile import MAX_SAMPLES, export, save, weights_sha256
from affectstream_models.thresholds import fit_temperature

EPILOG = """\
Trains on the corpus `emodb`, split `train`, with noise from the corpus `esc10`, split `noise-train`, and
fits the temperature on emodb's split `dev`. The test speakers are not read. The same seed on the same
machine gives the same weights. Writes model.onnx and card.toml.

example:
  affectstream-models train --audio DIR --out runs/seed1 --seed 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--audio", type=Path, metavar="DIR", help="holds manifest.tsv (else AFFECTSTREAM_AUDIO)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of all chance (default: 1)")
    parser.add_argument(
        "--copies", type=int, default=24, metavar="N", help="copies of each clip (default: 24)"
    )
    epochs = Recipe().epochs
    parser.add_argument("--epochs", type=int, default=epochs, metavar="N", help=f"passes (default: {epochs})")


def run(args: argparse.Namespace) -> int:
    """Trains, exports and writes; returns the exit status."""
    if args.copies < 1 or args.epochs < 1 or args.seed < 0:
        raise ModelsError("--copies and --epochs must be at least 1, --seed at least 0")
    folder = audio_folder(args.audio)
    prepare_folder(args.out)
    train, dev, noises = _material(folder)
    torch.set_num_threads(1)
    with Progress(console=Console(stderr=True)) as progress:
        hearing = progress.add_task("hearing copies", total=(len(train) + len(dev)) * args.copies)
        examples = listen(train, noises, args.copies, args.seed, lambda: progress.advance(hearing))
        held_out = listen(dev, noises, args.copies, args.seed, lambda: progress.advance(hearing))
        fitting = progress.add_task("fitting", total=args.epochs)
        recipe = Recipe(epochs=args.epochs)
        heads = fit_heads(examples, args.seed, recipe, lambda: progress.advance(fitting))
    with torch.no_grad():
        logits = heads(torch.from_numpy(held_out.statistics))[0].numpy()
    temperature = fit_temperature(logits, held_out.labels)
    heads.temperature.fill_(temperature)
    dev_uar = _uar_of_unaltered(logits, held_out, args.copies)
    model = export(EmbeddedModel(heads))
    measured = Measurement(
        what="UAR, 4 classes",
        value=round(dev_uar, 3),
        on=f"emodb dev, {len(dev)} clips of speaker 13",
        date=datetime.now(UTC).date().isoformat(),
        command=f"affectstream-models train --seed {args.seed}",
    )
    card = embedded_card(
        seed=args.seed,
        temperature=round(temperature, 4),
        weights_sha256=weights_sha256(model),
        max_samples=MAX_SAMPLES,
        measured=(measured,),
    )
    save(args.out, model, card)
    print(f"wrote {args.out / MODEL_FILE} and its card: dev UAR {dev_uar:.3f}, temperature {temperature:.2f}")  # noqa: T201
    return 0


def _material(folder: Path) -> tuple[list[Clip], list[Clip], list[Waveform]]:
    """Clips to train on, clips of the dev speaker, and noises; only what may go into shipped weights."""
    clips = [clip for clip in read_manifest(folder) if clip.train_ok]
    train = select(clips, corpus="emodb", split="train", labels=LABELS)
    dev = select(clips, corpus="emodb", split="dev", labels=LABELS)
    noise = select(clips, corpus="esc10", split="noise-train")
    for what, found in (("emodb/train", train), ("emodb/dev", dev), ("esc10/noise-train", noise)):
        if not found:
            raise ModelsError(f"the manifest in {folder} has no {what} clips with train_ok = yes")
    return train, dev, [clip.read() for clip in noise]


def _uar_of_unaltered(logits: npt.NDArray[np.float32], held_out: Examples, copies: int) -> float:
    predicted = logits[::copies].argmax(axis=1)
    return unweighted_average_recall(held_out.labels[::copies], predicted, len(LABELS))
