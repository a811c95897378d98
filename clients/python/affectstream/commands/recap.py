"""What a server says of a whole session, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from affectstream.commands.clock import clock
from affectstream.contract import DIMENSIONS
from affectstream.events import SessionSummary

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 48
"""Points of a sparkline; of more, every second, every third and so on."""


def sparkline(values: Iterable[float | None]) -> str:
    """One character for each value in 0..1; a dot for none."""
    return "".join(
        "·" if value is None else _BARS[min(len(_BARS) - 1, int(value * len(_BARS)))] for value in values
    )


def recap(summary: SessionSummary) -> list[str]:
    """Utterances and how many were unsure, time in each state, the way of each dimension."""
    count = "1 utterance" if summary.utterances == 1 else f"{summary.utterances} utterances"
    audio = f" in {clock(summary.audio.seconds, 1)} of audio" if summary.audio is not None else ""
    statuses = ", ".join(f"{name} {number}" for name, number in sorted(summary.finals_by_status.items()))
    unsure = summary.abstained_share
    lines = [f"{count}{audio}" + (f": {statuses}" if statuses else "")]
    if unsure:
        lines[0] += f"; {unsure:.0%} abstained"
    by_time = sorted(summary.states, key=lambda state: -(state.speech.seconds if state.speech else 0.0))
    if by_time:
        states = (
            f"{state.label} {state.speech.seconds if state.speech else 0:.1f} s ({state.utterances})"
            for state in by_time
        )
        lines.append(f"  {'emotions':<11}{', '.join(states)}")
    return [*lines, *ways(summary)]


def ways(summary: SessionSummary) -> list[str]:
    """A line for each dimension that the model gives: how it went, and where it was highest and lowest."""
    lines = []
    at = {point.utterance_id: clock(point.audio_end.seconds, 0) for point in summary.trajectory}
    every = -(-len(summary.trajectory) // _WIDTH)
    for name in DIMENSIONS:
        peaks = {peak.highest: peak for peak in summary.peaks if peak.dimension == name}
        if not peaks:
            continue
        line = sparkline(getattr(point.dimensions, name) for point in summary.trajectory[:: every or 1])
        told = (
            f"{word} {peak.value:.2f} at {at.get(peak.utterance_id, peak.utterance_id)}"
            for highest, word in ((False, "lowest"), (True, "highest"))
            if (peak := peaks.get(highest)) is not None
        )
        lines.append(f"  {name:<11}{line}  {', '.join(told)}")
    return lines
