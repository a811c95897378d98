"""`affectstream-models evaluate`: how well a model hears, and how far it can be trusted."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from affectstream_models.card import CARD_FILE, Abstention, read_card
from affectstream_models.conditions import CLEAN, SNRS_DB, TELEPHONE
from affectstream_models.dataset import Waveform, audio_folder, read_labelled, read_manifest, select
from affectstream_models.errors import ModelsError
from affectstream_models.evaluation import Material, group_by_group, hear
from affectstream_models.files import prepare_folder, write_atomically
from affectstream_models.meralion_card import published
from affectstream_models.meralion_protocols import PROTOCOLS
from affectstream_models.plots import confusion_plot, reliability_plot
from affectstream_models.predictor import Predictor, open_predictor
from affectstream_models.report import Evaluation, markdown

CONDITIONS = (CLEAN, TELEPHONE, *(f"{snr_db}dB" for snr_db in SNRS_DB))

EPILOG = """\
MODEL is an ONNX file with Affectstream's tensors and metadata, or a folder with model.onnx and card.toml.
Writes report.md, its pictures and predictions.jsonl. A run that was stopped goes on where it was.

examples:
  affectstream-models evaluate MODEL --audio DIR --out runs/report
  affectstream-models evaluate MODEL --audio DIR --out runs/report --on emodb/dev --conditions clean 10dB
  affectstream-models evaluate MODEL --clips mine.csv --out runs/mine

mine.csv has the columns path and emotion; speaker, gender, language, valence, arousal and dominance are
used where given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file, or folder with model.onnx")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--audio", type=Path, metavar="DIR", help="holds manifest.tsv (else AFFECTSTREAM_AUDIO)"
    )
    source.add_argument("--clips", type=Path, metavar="FILE", help="CSV or TSV of your own labelled clips")
    parser.add_argument(
        "--on",
        nargs="+",
        metavar="CORPUS/SPLIT",
        default=["emodb/test", "ravdess/test"],
        help="parts of the manifest (default: emodb/test ravdess/test)",
    )
    parser.add_argument(
        "--conditions",
        nargs="+",
        metavar="NAME",
        choices=CONDITIONS,
        default=[CLEAN],
        help=f"any of {', '.join(CONDITIONS)} (default: clean); noise is esc10/noise-test of --audio",
    )
    parser.add_argument(
        "--protocol",
        choices=list(PROTOCOLS),
        default="whole",
        help="hear whole clips, pieces of 2 s, or clips merged to 2-15 s (default: whole)",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluates and writes the report; returns the exit status."""
    predictor = open_predictor(args.model)
    abstention = _abstention(args.model)
    material = _material(args, predictor)
    prepare_folder(args.out)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("hearing", total=material.trials)
        told = hear(predictor, material, args.out / "predictions.jsonl", lambda: progress.advance(task))
    evaluation = Evaluation(
        model=predictor.name,
        digest=predictor.digest,
        labels=predictor.labels,
        date=datetime.now(UTC).date().isoformat(),
        command=_command(args),
        abstention=abstention,
        groups=list(group_by_group(told, predictor, abstention)),
        skipped=material.skipped,
    )
    text = markdown(evaluation, _draw(evaluation, args.out)) + published(predictor.name)
    write_atomically(args.out / "report.md", text.encode())
    console = Console()
    for group in evaluation.whole():
        figures = group.figures
        console.print(
            f"{group.corpus} {group.condition}: UAR {figures.uar:.3f}, accuracy {figures.accuracy:.3f}, "
            f"ECE {figures.ece:.3f}, {figures.clips} clips",
            highlight=False,
        )
    console.print(f"wrote {args.out / 'report.md'}", highlight=False, soft_wrap=True)
    return 0


def _material(args: argparse.Namespace, predictor: Predictor) -> Material:
    noises: list[Waveform] = []
    if args.clips is not None:
        if noisy := [name for name in args.conditions if name.endswith("dB")]:
            raise ModelsError(f"condition {noisy[0]} takes its noise from --audio, not from --clips")
        labelled = PROTOCOLS[args.protocol](read_labelled(args.clips, predictor.labels))
        return Material(labelled, noises, args.conditions, skipped=0)
    folder = audio_folder(args.audio)
    manifest = read_manifest(folder)
    spoken = []
    for part in args.on:
        corpus, _, split = part.partition("/")
        found = [clip for clip in select(manifest, corpus=corpus, split=split) if clip.emotion != "-"]
        if not found:
            raise ModelsError(f"the manifest in {folder} has no speech in {part}")
        spoken += found
    clips = [clip for clip in spoken if clip.emotion in predictor.labels]
    if not clips:
        raise ModelsError(f"no clip has one of the model's labels: {', '.join(predictor.labels)}")
    if any(name.endswith("dB") for name in args.conditions):
        noises = [clip.read() for clip in select(manifest, corpus="esc10", split="noise-test")]
        if not noises:
            raise ModelsError(f"the manifest in {folder} has no esc10/noise-test clips")
    skipped = len(spoken) - len(clips)
    return Material(PROTOCOLS[args.protocol](clips), noises, args.conditions, skipped)


def _draw(evaluation: Evaluation, out: Path) -> dict[str, str]:
    pictures = {}
    for group in evaluation.whole():
        title = f"{group.corpus}, {group.condition}"
        stem = title.replace("/", "-").replace(", ", "-")
        confusion_plot(out / f"{stem}-confusion.png", title, group.figures, evaluation.labels)
        reliability_plot(out / f"{stem}-reliability.png", title, group.figures)
        pictures[f"Confusion, {title}"] = f"{stem}-confusion.png"
        pictures[f"Reliability, {title}"] = f"{stem}-reliability.png"
    return pictures


def _abstention(model: Path) -> Abstention | None:
    """The thresholds of the card beside the model, where there is one."""
    folder = model if model.is_dir() else model.parent
    return read_card(folder).abstention if (folder / CARD_FILE).is_file() else None


def _command(args: argparse.Namespace) -> str:
    """The command without its folders, which mean nothing elsewhere."""
    source = "--clips FILE" if args.clips is not None else f"--audio DIR --on {' '.join(args.on)}"
    heard = f"--conditions {' '.join(args.conditions)} --protocol {args.protocol}"
    return f"affectstream-models evaluate MODEL {source} {heard}"
