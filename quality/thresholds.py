"""What scores are worth by the noise and the length of what they came from: what thresholds rest on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from quality.unheard import LABELS, Table, Unheard

NOISE_DB: Final = (-100.0, 0.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 100.0)
"""Bounds of the rows by the server's own estimate."""
SHORT: Final = ("300 ms", "400 ms", "500 ms", "750 ms", "1000 ms", "clean")


def table(conditions: Table) -> str:
    """Markdown: by estimated noise, then by length."""
    noisy = [clip for name, clips in conditions.items() if not name.endswith(" ms") for clip in clips]
    rows = [
        (
            f"{low:g} to {high:g} dB"
            if low > -100 and high < 100
            else f"below {high:g} dB"
            if low <= -100
            else f"from {low:g} dB",
            [clip for clip in noisy if clip.snr_db is not None and low <= clip.snr_db < high],
        )
        for low, high in pairwise(NOISE_DB)
    ]
    rows += [(name.replace("clean", "whole clips"), conditions[name]) for name in SHORT]
    lines = [
        "| | scores | named | of these right | mean confidence of these | arousal on the right side |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_row(name, clips) for name, clips in rows if clips)])


def _row(name: str, clips: Sequence[Unheard]) -> str:
    named = [clip for clip in clips if clip.ok]
    right = sum(clip.top == clip.truth for clip in named) / max(1, len(named))
    confidence = sum(clip.probabilities[clip.top] for clip in named) / max(1, len(named))
    sides = [
        [(clip.arousal > 0.5) == (clip.truth in ("happy", "angry")) for clip in clips if clip.truth == label]
        for label in LABELS
    ]
    side = sum(sum(hits) / len(hits) for hits in sides if hits) / max(1, sum(bool(hits) for hits in sides))
    share = len(named) / len(clips)
    return f"| {name} | {len(clips)} | {share:.2f} | {right:.2f} | {confidence:.2f} | {side:.2f} |"
