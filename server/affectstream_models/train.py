"""`affectstream-models train`: the embedded model, from a folder of audio to a folder with model and card."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from affectstream_models.augment import HARMS, spoil
from affectstream_models.card import CARD_FILE, MODEL_FILE, Calibration, Measurement
from affectstream_models.crossfit import (
    Unseen,
    hear,
    held_out_speakers,
    leave_speakers_out,
    together,
)
from affectstream_models.dataset import Clip, Waveform, audio_folder, read_manifest, select
from affectstream_models.embedded import LABELS, EmbeddedModel
from affectstream_models.embedded_card import embedded_card
from affectstream_models.errors import ModelsError
from affectstream_models.files import prepare_folder
from affectstream_models.fit import Recipe, fit_heads
from affectstream_models.listen import listen
from affectstream_models.metrics import calibration_error, log_loss, unweighted_average_recall
from affectstream_models.modelfile import MAX_SAMPLES, export, save, weights_sha256
from affectstream_models.strangers import Half, among_strangers, fit_careful, halves, least_recalls
from affectstream_models.thresholds import fit_floors

LEAST_RECALL = 0.35
"""A label that is heard less often than this among strangers, by women or by men, is never named."""
PRECISION = 0.75
"""How often a label must be right when it is named, on speakers that were left out."""
LEAST_FLOOR = 0.5
"""No label is named that is not likelier than all others together."""

EPILOG = """\
Trains on the corpus `emodb`, split `train`, with noise from the corpus `esc10`, split `noise-train`, and
calibrates on speakers that were left out and on emodb's split `dev`, which is never trained on. The test
speakers are not read. The same seed on the same machine gives the same weights. Takes about three minutes
of one core. Writes model.onnx and card.toml.

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
    recipe = Recipe(epochs=args.epochs)
    with Progress(console=Console(stderr=True)) as progress:
        total = (len(train) + len(dev)) * args.copies + len(train) * len(HARMS)
        hearing = progress.add_task("hearing copies", total=total)

        def advance() -> None:
            progress.advance(hearing)

        examples, held_out = (
            listen(clips, noises, args.copies, args.seed, advance=advance) for clips in (train, dev)
        )
        harmed = [
            listen(train, noises, 1, args.seed, advance=advance, alter=partial(spoil, harm=harm), plain=False)
            for harm in HARMS
        ]
        fitting = progress.add_task("fitting", total=args.epochs)
        heads = fit_heads(examples, args.seed, recipe, lambda: progress.advance(fitting))
        crossings = len(held_out_speakers(examples)) + len(halves(examples))
        crossing = progress.add_task("calibrating", total=crossings)
        (crossed,) = leave_speakers_out(
            examples, [examples], args.seed, recipe, lambda: progress.advance(crossing)
        )
        strange = among_strangers(
            examples, [examples, *harmed], args.seed, recipe, lambda: progress.advance(crossing)
        )
    dev_heard = hear(heads, held_out)
    unseen = together([crossed, dev_heard])
    by_harm = [together(parts) for parts in list(zip(*strange.values(), strict=True))[1:]]
    base, slope = fit_careful(unseen, by_harm)
    heads.temperature.copy_(torch.tensor([base, slope]))
    recalled = _recalls_by_gender(strange)
    floors = fit_floors(
        unseen.calibrated(base, slope),
        unseen.labels,
        LABELS,
        precision=PRECISION,
        least=LEAST_FLOOR,
        given_up=[label for label, recall in recalled.items() if recall < LEAST_RECALL],
    )
    model = export(EmbeddedModel(heads))
    figures = {
        f"emodb dev, speaker 13, {len(dev)} clips": _figures(dev_heard, base, slope),
        f"emodb train, {len(train)} clips, two speakers left out at a time": _figures(crossed, base, slope),
        f"emodb train, {len(train)} clips in {args.copies} copies, learnt from the other gender and other "
        "sentences; the lower of women and men": {f"recall of {k}": v for k, v in recalled.items()},
    }
    card = embedded_card(
        seed=args.seed,
        calibration=Calibration(
            temperature=round(base, 4),
            temperature_slope=round(slope, 4),
            fitted_on="emodb dev, and emodb train with two speakers left out at a time; the slope on harmed "
            "copies of emodb train, learnt from the other gender and other sentences",
        ),
        min_probability=floors,
        weights_sha256=weights_sha256(model),
        max_samples=MAX_SAMPLES,
        measured=tuple(
            Measurement(what, round(value, 3), on, datetime.now(UTC).date().isoformat(), _command(args))
            for on, group in figures.items()
            for what, value in group.items()
        ),
    )
    save(args.out, model, card)
    for on, group in figures.items():
        print(f"{on}: " + ", ".join(f"{what} {value:.3f}" for what, value in group.items()))  # noqa: T201
    print(f"wrote {args.out / MODEL_FILE} and {CARD_FILE}")  # noqa: T201
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


def _recalls_by_gender(strange: Mapping[Half, Sequence[Unseen]]) -> dict[str, float]:
    """Each label's recall among strangers, women or men, whichever is lower; empty without strangers."""
    genders = sorted({half.gender for half in strange})
    parts = [
        together([heard[0] for half, heard in strange.items() if half.gender == gender]) for gender in genders
    ]
    return least_recalls(parts) if parts else {}


def _figures(unseen: Unseen, base: float, slope: float) -> dict[str, float]:
    """UAR of the clips as they are, and the log loss of their altered copies, classes weighing the same."""
    plain = ~unseen.altered
    told = unseen.calibrated(base, slope)
    figures = {
        "UAR": unweighted_average_recall(unseen.labels[plain], told[plain].argmax(axis=1), len(LABELS)),
        "ECE": calibration_error(told[plain], unseen.labels[plain]),
    }
    if unseen.altered.any():
        figures["log loss, altered"] = log_loss(told[unseen.altered], unseen.labels[unseen.altered])
    return figures


def _command(args: argparse.Namespace) -> str:
    return f"affectstream-models train --seed {args.seed} --copies {args.copies} --epochs {args.epochs}"
