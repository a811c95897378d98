"""How cues of angry and sad speech differ, speaker by speaker, on EmoDB.

Its clips are all at the same peak level: `energy_mean` says nothing there, and loudness shows in how far the
voice stands out from the studio's background and in its brightness.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from affectstream_server.cues.catalogue import CUES, measure
from affectstream_server.cues.saliency import holes, spans
from affectstream_server.cues.speech import Speech
from affectstream_server.scoring.embedded import EmbeddedScorer
from affectstream_server.scoring.load import Ticket
from quality.clips import read_manifest, read_wave, to_pcm

_LABELS: Final = ("anger", "sadness")
KNOWN: Final = {
    "pitch_median": 1,
    "pitch_range": 1,
    "energy_over_noise": 1,
    "energy_range": 1,
    "spectral_tilt": 1,
}
"""Cues whose direction from sad to angry is known (Banse and Scherer 1996): up."""


@dataclass(frozen=True, slots=True)
class Direction:
    """One cue: the speakers' mean of angry less that of sad, on the cue's own scale."""

    name: str
    differences: dict[str, float]
    """By speaker."""

    @property
    def up(self) -> float:
        """Share of the speakers whose angry speech has more of it."""
        return float(np.mean([difference > 0 for difference in self.differences.values()]))


def directions(folder: Path, *splits: str) -> dict[str, Direction]:
    """Of each cue, over the speakers of these splits of EmoDB."""
    means: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    scales = {cue.name: cue.scaled for cue in CUES}
    for clip in read_manifest(folder):
        if clip.path.startswith("emodb/") and clip.split in splits and clip.label in _LABELS:
            for name, value in measure(Speech(to_pcm(read_wave(folder / clip.path)))).items():
                means[name, clip.speaker][clip.label].append(scales[name](value))
    found: dict[str, Direction] = {}
    for cue in CUES:
        differences = {
            speaker: float(np.mean(labels["anger"]) - np.mean(labels["sadness"]))
            for (name, speaker), labels in means.items()
            if name == cue.name and all(labels[label] for label in _LABELS)
        }
        found[cue.name] = Direction(cue.name, dict(sorted(differences.items())))
    return found


def markdown(found: dict[str, Direction]) -> str:
    """A row a cue, a column a speaker."""
    speakers = sorted({speaker for direction in found.values() for speaker in direction.differences})
    lines = [f"| cue | {' | '.join(speakers)} |", "| --- " * (len(speakers) + 1) + "|"]
    for cue in CUES:
        differences = found[cue.name].differences
        told = [_told(differences.get(speaker), is_ratio=cue.is_ratio) for speaker in speakers]
        lines.append(f"| `{cue.name}`, {'%' if cue.is_ratio else cue.unit} | {' | '.join(told)} |")
    return "\n".join(lines)


def _told(difference: float | None, *, is_ratio: bool) -> str:
    if difference is None:
        return "-"
    return f"{100 * (np.exp(difference) - 1):+.0f}" if is_ratio else f"{difference:+.1f}"


async def spans_on_anger(folder: Path, scorer: EmbeddedScorer, pairs: int = 3) -> list[float]:
    """A neutral and an angry clip of a test speaker as one utterance, half of the pairs the other way round.

    Returns the share of the spans' weight that lies in the angry clip, of each that was called angry.
    """
    clips: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for clip in read_manifest(folder):
        if clip.path.startswith("emodb/") and clip.split == "test" and clip.label in {"neutral", "anger"}:
            clips[clip.speaker, clip.label].append(folder / clip.path)
    shares = []
    for speaker in sorted({speaker for speaker, _ in clips}):
        for number in range(pairs):
            calm, angry = (to_pcm(read_wave(clips[speaker, label][number])) for label in ("neutral", "anger"))
            audio = np.concatenate([calm, angry] if number % 2 else [angry, calm])
            start = len(calm) if number % 2 else 0
            score = await scorer.score("", audio, 30.0)
            top = int(score.probabilities.argmax())
            if scorer.model.labels[top] != "angry":
                continue
            left = await scorer.score_without(audio, holes(len(audio)), Ticket(), 30.0)
            found = spans(len(audio), float(score.probabilities[top]), left[:, top])
            inside = [
                span.weight
                * max(0, min(span.end, start + len(angry)) - max(span.start, start))
                / (span.end - span.start)
                for span in found
            ]
            if found:
                shares.append(sum(inside) / sum(span.weight for span in found))
    return shares
