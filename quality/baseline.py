"""How the baseline's numbers were chosen: neutral talk told remarkable, anger and sadness found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from affectstream_server.stages.baseline import Running
from quality.unheard import Speakers

DRAWS: Final = 200
"""Talks of each speaker, as heard by each model that never heard them."""
REMARKABLE: Final = 2.0
LOWER: Final = -1.0
"""Sadness is near neutral in arousal: one spread below."""
TRIED: Final = (
    *[(4, floor, 2.5) for floor in (0.0001, 0.03, 0.05, 0.08, 0.12)],
    *[(least, 0.05, 2.5) for least in (3, 5, 6)],
    *[(4, 0.05, outlier) for outlier in (2.0, 3.0, 99.0)],
)
"""Least utterances, floor of the spread, how far an outlier counts."""


def table(speakers: Speakers) -> str:
    """Markdown: a row for each combination."""
    lines = [
        "| least | floor | outlier | talk before | neutral beyond 2 | angry above 2 | sad below -1 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for least, floor, outlier in TRIED:
        for length in (least, 8):
            for spoilt in (False, True):
                rates = _rates(speakers, least, floor, outlier, length, spoilt=spoilt)
                before = f"{length} neutral" if not spoilt else f"{length - 1} neutral, 1 angry"
                figures = " | ".join(f"{rate:.3f}" for rate in rates)
                lines.append(f"| {least} | {floor:g} | {outlier:g} | {before} | {figures} |")
    return "\n".join(lines)


def _rates(
    speakers: Speakers, least: int, floor: float, outlier: float, length: int, *, spoilt: bool
) -> Iterator[float]:
    rng = random.Random(1)  # noqa: S311 - talks, not secrets
    found: dict[str, list[bool]] = {"neutral": [], "angry": [], "sad": []}
    for said in speakers.values():
        levels = {label: [clip.arousal for clip in clips if clip.ok] for label, clips in said.items()}
        if not (levels.get("neutral") and levels.get("angry")):
            continue
        for _ in range(DRAWS):
            before = [rng.choice(levels["neutral"]) for _ in range(length)]
            if spoilt:
                before[rng.randrange(length)] = rng.choice(levels["angry"])
            running = Running(least=least, floor=floor, outlier=outlier)
            for level in before:
                running.add(level)
            for label, rates in found.items():
                z_score = running.z_score(rng.choice(levels[label])) if levels.get(label) else None
                if z_score is not None:
                    beyond = {"neutral": abs(z_score) > REMARKABLE, "angry": z_score > REMARKABLE}
                    rates.append(beyond.get(label, z_score < LOWER))
    return (sum(rates) / len(rates) for rates in found.values())
