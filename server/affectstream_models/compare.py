"""`affectstream-models compare`: trainings of several seeds side by side, on the same clips."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from affectstream_models.card import read_card
from affectstream_models.compare_report import Trained, tables
from affectstream_models.conditions import CLEAN, SNRS_DB
from affectstream_models.dataset import Clip, audio_folder, read_manifest, select
from affectstream_models.errors import ModelsError
from affectstream_models.evaluation import Material, group_by_group, hear
from affectstream_models.files import prepare_folder, write_atomically
from affectstream_models.predictor import open_predictor
from affectstream_models.report import Group

NOISY = (CLEAN, *(f"{snr_db}dB" for snr_db in SNRS_DB))

EPILOG = """\
Hears the home part clean and in noise, the away part clean. Prints the tables of docs/model.md and writes
them to seeds.md. Choose a seed before this is run, by what training prints of the dev speaker: the test
speakers are read once a release. A run that was stopped goes on where it was.

example:
  affectstream-models compare runs/seed1 runs/seed2 runs/seed3 --audio DIR --out runs/compared
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help="folders with model.onnx and card.toml"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write")
    parser.add_argument(
        "--audio", type=Path, metavar="DIR", help="holds manifest.tsv (else AFFECTSTREAM_AUDIO)"
    )
    parser.add_argument("--home", default="emodb/test", metavar="CORPUS/SPLIT", help="default: emodb/test")
    parser.add_argument(
        "--away", default="ravdess/test", metavar="CORPUS/SPLIT", help="default: ravdess/test"
    )


def run(args: argparse.Namespace) -> int:
    """Hears, judges and writes; returns the exit status."""
    cards = [read_card(folder) for folder in args.models]
    seeds = [card.seed for card in cards]
    if len(set(seeds)) < len(seeds):
        raise ModelsError(f"seeds are {', '.join(map(str, seeds))}; each must be another")
    manifest = read_manifest(audio_folder(args.audio))
    noises = [clip.read() for clip in select(manifest, corpus="esc10", split="noise-test")]
    if not noises:
        raise ModelsError("the manifest has no esc10/noise-test clips")
    labels = cards[0].labels
    home = Material(_spoken(manifest, args.home, labels), noises, NOISY)
    away = Material(_spoken(manifest, args.away, labels), [], (CLEAN,))
    prepare_folder(args.out)
    trained = []
    with Progress(console=Console(stderr=True)) as progress:
        hearing = progress.add_task("hearing", total=len(cards) * (home.trials + away.trials))

        def advance() -> None:
            progress.advance(hearing)

        for folder, card in zip(args.models, cards, strict=True):
            groups = [
                *_judged(folder, home, args.out, advance),
                *_judged(folder, away, args.out, advance),
            ]
            trained.append(Trained(card, args.home, args.away, groups))
    date = datetime.now(UTC).date().isoformat()
    said = f"{date} · `affectstream-models compare SEEDS --home {args.home} --away {args.away}`"
    text = f"{said}\n\n{tables(trained)}"
    write_atomically(args.out / "seeds.md", text.encode())
    print(text)  # noqa: T201
    return 0


def _spoken(manifest: list[Clip], part: str, labels: Sequence[str]) -> list[Clip]:
    corpus, _, split = part.partition("/")
    found = select(manifest, corpus=corpus, split=split, labels=labels)
    if not found:
        raise ModelsError(f"the manifest has no clip in {part} of {', '.join(labels)}")
    return found


def _judged(folder: Path, material: Material, out: Path, advance: Callable[[], None]) -> list[Group]:
    """The figures of one part as a whole, under each condition."""
    predictor, card = open_predictor(folder), read_card(folder)
    log = out / f"seed{card.seed}-{material.clips[0].corpus}.jsonl"
    told = hear(predictor, material, log, advance)
    groups = group_by_group(told, predictor, card.abstention)
    return [group for group in groups if group.subset == "all"]
