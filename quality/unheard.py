"""Scores of speakers that the model behind each score never heard: what thresholds are chosen on.

`.venv-models/bin/python -m affectstream_models.unheard quality/results/unheard.tsv` makes the table.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.embedded import EmbeddedScorer
from affectstream_server.stages.abstain import doubt
from quality.clips import NoAudio

LABELS = ("neutral", "happy", "sad", "angry")


@dataclass(frozen=True, slots=True)
class Unheard:
    """A clip and what was said of it."""

    truth: str
    probabilities: dict[str, float]
    arousal: float
    snr_db: float | None
    """As the server estimates it."""
    ok: bool
    """The bundled model's card would have it acted on."""

    @property
    def top(self) -> str:
        """The likeliest label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def event(self, number: int, after_s: float = 4.0) -> pb.AffectEvent:
        """As the final of an utterance that ends ``after_s`` after the one before."""
        event = pb.AffectEvent(utterance_id=f"u{number}", stage=pb.STAGE_FINAL, top_label=self.top)
        event.status = pb.AFFECT_STATUS_OK if self.ok else pb.AFFECT_STATUS_ABSTAINED
        event.audio_end.FromMilliseconds(round(1_000 * after_s * (number + 1)))
        for label, probability in self.probabilities.items():
            event.emotions.add(label=label, probability=probability)
        event.dimensions.arousal = self.arousal
        return event


Table = dict[str, list["Unheard"]]
"""Condition → every clip, as often as it was heard."""
Speakers = dict[tuple[str, str], dict[str, list[Unheard]]]
"""Who was left out, and who spoke → true label → clips."""


def speakers(path: Path) -> Speakers:
    """The clips as they are. Raises `NoAudio` where there is no table."""
    found: Speakers = defaultdict(lambda: defaultdict(list))
    for row, clip in _rows(path):
        if row["condition"] == "clean":
            found[row["left_out"], row["speaker"]][clip.truth].append(clip)
    return found


def conditions(path: Path) -> Table:
    """All of it. Raises `NoAudio` where there is no table."""
    found: Table = defaultdict(list)
    for row, clip in _rows(path):
        found[row["condition"]].append(clip)
    return found


def _rows(path: Path) -> Iterator[tuple[dict[str, str], Unheard]]:
    if not path.is_file():
        raise NoAudio(f"no {path}: .venv-models/bin/python -m affectstream_models.unheard {path}")
    model = EmbeddedScorer().model
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            shares = {label: float(row[label]) for label in LABELS}
            top = max(shares, key=shares.__getitem__)
            yield (
                row,
                Unheard(
                    row["emotion"],
                    shares,
                    float(row["arousal"]),
                    float(row["snr_db"]) if row["snr_db"] else None,
                    not doubt(model, top, shares[top]),
                ),
            )
