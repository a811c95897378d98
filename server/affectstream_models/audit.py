"""`affectstream-models audit`: what moves a model's answers that should not, and whom it serves worse."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream_models.audit_plots import gaps_plot, robustness_plot
from affectstream_models.audit_report import Audit, Part, markdown
from affectstream_models.card import CARD_FILE, read_card
from affectstream_models.conditions import CLEAN, Condition
from affectstream_models.dataset import Clip, Waveform, audio_folder, read_labelled, read_manifest, select
from affectstream_models.errors import ModelsError
from affectstream_models.evaluation import hear_under
from affectstream_models.files import prepare_folder, write_atomically
from affectstream_models.gaps import corpus, gaps, spreads
from affectstream_models.perturbations import VERSION, has_opus, perturbations
from affectstream_models.predictor import Predictor, open_predictor
from affectstream_models.robustness import Drift, drift

_LONGEST: Final = LIMITS.utterance_ms * SAMPLE_RATE_HZ // 1_000

EPILOG = """\
Changes each clip in one thing at a time (pitch, formants, speed, band, codec, noise, level, clipping) and
counts how often the likeliest label becomes another; and compares groups of speakers, with intervals.
Writes report.md with two pictures, audit.json and predictions.jsonl. A run that was stopped goes on where
it was.

examples:
  affectstream-models audit MODEL --audio DIR --out runs/audit
  affectstream-models audit MODEL --clips mine.csv --out runs/mine

mine.csv has the columns path and emotion; gender, language and speaker are compared where given. Clips of
one's own are heard without noise, which is esc10/noise-test of --audio.
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


def run(args: argparse.Namespace) -> int:
    """Audits and writes the report; returns the exit status."""
    predictor = open_predictor(args.model)
    folder = args.model if args.model.is_dir() else args.model.parent
    abstention = read_card(folder).abstention if (folder / CARD_FILE).is_file() else None
    clips, noises = _material(args, predictor)
    prepare_folder(args.out)
    console = Console(stderr=True)
    if not has_opus():
        console.print("the installed libsndfile writes no Opus: left out")
    heard: dict[str, Condition] = {CLEAN: lambda waveform, _: waveform}
    heard |= {one.name: _not_too_long(one.apply) for one in perturbations(noises)}
    with Progress(console=console) as progress:
        task = progress.add_task("hearing", total=len(clips) * len(heard))
        log = args.out / "predictions.jsonl"
        told = hear_under(predictor, clips, heard, log, lambda: progress.advance(task), version=VERSION)
        clean = [one for one in told if one.condition == CLEAN]
        task = progress.add_task("comparing", total=None)
        parts = []
        for where in dict.fromkeys(corpus(one) for one in clean):
            drifts: list[Drift] = []
            mine = [one for one in told if corpus(one) == where]
            as_is = [one for one in mine if one.condition == CLEAN]
            for name in list(heard)[1:]:
                changed = [one for one in mine if one.condition == name]
                drifts.append(drift(as_is, changed, predictor.labels, predictor.dimensions, abstention))
                progress.advance(task)
            parts.append(Part(where, drifts))
        found = list(gaps(clean, predictor.labels, predictor.dimensions, lambda: progress.advance(task)))
        apart = list(spreads(clean, predictor.labels))
        progress.update(task, total=1, completed=1)
    audit = Audit(
        model=predictor.name,
        digest=predictor.digest,
        labels=predictor.labels,
        date=datetime.now(UTC).date().isoformat(),
        command=_command(args),
        parts=parts,
        gaps=found,
        spreads=apart,
    )
    _write(audit, args.out)
    return 0


def _write(audit: Audit, out: Path) -> None:
    pictures = {"How often the label flips": "robustness.png"}
    robustness_plot(out / "robustness.png", audit)
    if audit.gaps or audit.spreads:
        pictures["Gaps between groups"] = "gaps.png"
        gaps_plot(out / "gaps.png", audit)
    write_atomically(out / "audit.json", (json.dumps(asdict(audit), indent=2) + "\n").encode())
    write_atomically(out / "report.md", markdown(audit, pictures).encode())
    console = Console()
    for part in audit.parts:
        worst = max(part.drifts, key=lambda one: one.flips)
        console.print(
            f"{part.where}: the label flips most under {worst.perturbation}, in {worst.flips:.0%} of "
            f"{worst.clips} clips",
            highlight=False,
        )
    console.print(f"wrote {out / 'report.md'}", highlight=False, soft_wrap=True)


def _material(args: argparse.Namespace, predictor: Predictor) -> tuple[list[Clip], list[Waveform]]:
    if args.clips is not None:
        return read_labelled(args.clips, predictor.labels), []
    folder = audio_folder(args.audio)
    manifest = read_manifest(folder)
    clips = []
    for part in args.on:
        name, _, split = part.partition("/")
        found = select(manifest, corpus=name, split=split, labels=predictor.labels)
        if not found:
            raise ModelsError(
                f"the manifest in {folder} has no speech in {part} with one of {', '.join(predictor.labels)}"
            )
        clips += found
    noises = [clip.read() for clip in select(manifest, corpus="esc10", split="noise-test")]
    return clips, noises


def _not_too_long(change: Condition) -> Condition:
    """What is slowed beyond the longest utterance is cut there, as the service would."""
    return lambda waveform, place: change(waveform, place)[:_LONGEST]


def _command(args: argparse.Namespace) -> str:
    """The command without its folders, which mean nothing elsewhere."""
    source = "--clips FILE" if args.clips is not None else f"--audio DIR --on {' '.join(args.on)}"
    return f"affectstream-models audit MODEL {source} --out DIR"
