"""Tables of scores: Markdown for people, JSON for later."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from affectstream_server.stages.endpoint import Weights
from quality.measure import Score
from quality.peers import PUBLISHED, PUBLISHED_ON

HEADINGS = (
    "utterances",
    "found",
    "split",
    "merged",
    "false",
    "one to one",
    "start error ms (abs)",
    "end error ms (abs)",
    "told ms (p90)",
    "cuts an utterance",
)


def table(rows: Mapping[str, Score]) -> str:
    """One row a name."""
    return _markdown(("", *HEADINGS), [(name, *_cells(score)) for name, score in rows.items()])


def published() -> str:
    """The rows measured elsewhere, as they were given."""
    rows = [
        (
            peer.name,
            *(str(value) for value in (84, peer.found, peer.split, peer.merged, peer.false, peer.one_to_one)),
            str(peer.start_ms),
            str(peer.end_ms),
            f"{peer.told_ms} ({peer.told_p90_ms})",
            "-",
        )
        for peer in PUBLISHED
    ]
    return f"Given, not measured here ({PUBLISHED_ON}):\n\n" + _markdown(("", *HEADINGS), rows)


def tried_table(tried: Sequence[tuple[float, float, Weights]]) -> str:
    """Combinations of weights with their faults and cuts."""
    rows = [
        (f"{faults:.3f}", f"{cuts:.3f}", *(f"{value:g}" for value in weights))
        for faults, cuts, weights in tried
    ]
    return _markdown(("splits and merges an utterance", "cuts an utterance", *Weights._fields), rows)


def save(path: Path, sections: Mapping[str, Mapping[str, Score]]) -> None:
    """Every figure of every section as JSON; what could not be measured is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        section: {name: _plain(score.summary()) for name, score in rows.items()}
        for section, rows in sections.items()
    }
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _plain(summary: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in summary.items()}


def _cells(score: Score) -> tuple[str, ...]:
    figures = {name: "-" if math.isnan(v) else f"{v:g}" for name, v in score.summary().items()}
    counts = ("utterances", "found", "split", "merged", "false", "one_to_one")
    return (
        *(figures[name] for name in counts),
        f"{figures['start_ms']} ({figures['start_abs_ms']})",
        f"{figures['end_ms']} ({figures['end_abs_ms']})",
        f"{figures['told_ms']} ({figures['told_p90_ms']})",
        figures["cuts_per_utterance"],
    )


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
