"""``python -m quality``: ``segmentation`` and ``cues`` judge; the others show what numbers were chosen on."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.endpoint import WEIGHTS
from quality import acted, baseline, cues, fusion, guidance, thresholds, tune, unheard
from quality.clips import AUDIO_VARIABLE, NoAudio, audio_folder
from quality.generate import Generator
from quality.listen import Progress
from quality.measure import Score
from quality.peers import LIVEKIT
from quality.report import save, table, tried_table
from quality.segmentation import judge, markdown

_ON_UNHEARD: dict[str, Callable[[Path], str]] = {
    "baseline": lambda path: baseline.table(unheard.speakers(path)),
    "thresholds": lambda path: thresholds.table(unheard.conditions(path)),
    "guidance": lambda path: guidance.table(unheard.speakers(path)),
}
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m quality", description=__doc__)
    parser.add_argument(
        "command",
        choices=("segmentation", "tune", "baseline", "thresholds", "guidance", "fusion", "cues"),
    )
    parser.add_argument("--audio", type=Path, help=f"folder with manifest.tsv; default: {AUDIO_VARIABLE}")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    try:
        if options.command in _ON_UNHEARD:
            print(_ON_UNHEARD[options.command](options.results / "unheard.tsv"))
            return 0
        if options.command == "cues":
            _cues(options.audio, options.results)
            return 0
        folder = audio_folder(options.audio)
        if options.command == "fusion":
            print(fusion.markdown(folder, options.results / "unheard.tsv"))
            return 0
        if options.command == "segmentation":
            _segmentation(folder, options.results)
        else:
            _tune(folder, options.results)
    except NoAudio as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _segmentation(folder: Path, results: Path) -> None:
    sections = judge(folder, _progress)
    report = markdown(sections)
    save(results / "segmentation.json", sections)
    (results / "segmentation.md").write_text(report, encoding="utf-8")
    print(report)


def _cues(audio: Path | None, results: Path) -> None:
    """On made voices, which need no recordings; and on acted speech where there is some."""
    alone, together = cues.judge(progress=_progress("made voices"))
    parts = ["## A cue's own property", cues.markdown(alone), "## All at once", cues.markdown(together)]
    try:
        folder = audio_folder(audio)
    except NoAudio as error:
        print(error, file=sys.stderr)
    else:
        parts += ["## Angry against sad", acted.markdown(acted.directions(folder, "train", "dev", "test"))]
    report = "\n\n".join(parts) + "\n"
    results.mkdir(parents=True, exist_ok=True)
    (results / "cues.md").write_text(report, encoding="utf-8")
    print(report)


def _tune(folder: Path, results: Path) -> None:
    settings = EndpointingSettings()
    fixed = EndpointingSettings(hangover_policy="FIXED")
    generator = Generator(folder)
    fit = tune.answer(generator, tune.FIT_SEEDS, settings, _progress)
    check = tune.answer(generator, tune.CHECK_SEEDS, settings, _progress)
    steady = tune.answer(Generator(folder, steady_noise=True), tune.CHECK_SEEDS, settings, _progress)
    show = _progress("search")
    limit = tune.MOST_CUTS * tune.cuts(tune.peers(fit)[LIVEKIT.name])
    tried = []
    for place, combination in enumerate(tune.search(fit, settings)):
        tried.append(combination)
        show(place, len(tune.USUAL_AFTER_S) * len(tune.LENGTH_WEIGHTS) * len(tune.SLOPE_WEIGHTS))
    allowed = sorted(one for one in tried if one[1] <= limit)
    best = allowed[0][2]
    parts = [
        f"Chosen: `{best}`; shipped: `{WEIGHTS}`; at most {limit:.3f} cuts an utterance",
        tried_table(allowed[:12]),
    ]
    sections: dict[str, dict[str, Score]] = {}
    for name, talks in (("Chosen on", fit), ("Checked on", check), ("Checked in steady noise", steady)):
        rows = {
            "chosen": tune.scores(talks, settings, best),
            "shipped": tune.scores(talks, settings, WEIGHTS),
            "fixed 256 ms": tune.scores(talks, fixed, WEIGHTS),
            "always the shortest": tune.scores(talks, settings, tune.SHORTEST_ALWAYS),
            "always the longest": tune.scores(talks, settings, tune.LONGEST_ALWAYS),
        } | tune.peers(talks)
        sections[name] = {
            f"{kind}, {line}: {who}": totals[kind, line]
            for kind, line in talks
            for who, totals in rows.items()
        }
        parts += [f"## {name}", table(sections[name])]
    report = "\n\n".join(parts) + "\n"
    save(results / "tuning.json", sections)
    (results / "tuning.md").write_text(report, encoding="utf-8")
    print(report)


def _progress(name: str) -> Progress:
    """A line on stderr that is rewritten, at most five times a second."""
    last = 0.0

    def show(done: int, of: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.2 and sys.stderr.isatty():
            last = now
            print(f"\r{name}: {100 * done // max(1, of)} %   ", end="", file=sys.stderr, flush=True)

    return show
