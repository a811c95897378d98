"""Runs of rows → their figures, and each against the least of its own round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from rich.table import Table

from bench.figures import an_hour, spread
from bench.vad.row import Result
from bench.vad.rows import VadRow

Runs = Mapping[VadRow, Sequence[Result | None]]
LEAST: Final = "batched"
MOST_RATIO: Final = 1.3
"""What ours may cost, in costs of the batched loop of the same run."""


def costs(results: Sequence[Result | None]) -> list[float]:
    """CPU-seconds for an hour of audio of each run; a row that is not installed has none."""
    return [an_hour(one.cpu_s, one.audio_s) for one in results if one is not None]


def figures(runs: Runs) -> list[dict[str, Any]]:
    """What latest.json says of each row; ``installed`` false: of that alone."""
    found = []
    for row, results in runs.items():
        known = [one for one in results if one is not None]
        figure: dict[str, Any] = {
            "name": row.name,
            "row": row.row,
            "streams": row.streams,
            "seconds": row.seconds,
            "wakes": row.wakes,
            "runs": len(known),
            "installed": bool(known),
        }
        if known:
            ratios = [own / least for own, least in zip(costs(results), _least(runs, row), strict=False)]
            figure |= {
                "cpu_s_per_audio_hour": spread(costs(results)),
                "ratio_to_batched": spread(ratios) if ratios else None,
                "rss_kib": median(one.rss_kib for one in known),
                "late_ms_p99": spread([one.late_ms_p99 for one in known]),
                "utterances": sum(one.utterances for one in known),
            }
        found.append(figure)
    return found


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each row."""
    shown = Table("VAD, no network", "streams", "CPU-s an audio hour", "x batched", "MB", "late ms", "found")
    for column in shown.columns[1:]:
        column.justify = "right"
    for one in found:
        if not one["installed"]:
            shown.add_row(one["row"], str(one["streams"]), "not installed")
            continue
        cpu, ratio = one["cpu_s_per_audio_hour"], one["ratio_to_batched"]
        shown.add_row(
            one["row"],
            str(one["streams"]),
            f"{cpu['median']:.1f} ({cpu['min']:.1f}-{cpu['max']:.1f})",
            f"{ratio['median']:.2f}" if ratio else "-",
            f"{one['rss_kib'] / 1_024:.0f}",
            f"{one['late_ms_p99']['median']:.1f}",
            str(one["utterances"] or "-"),
        )
    shown.caption = f"at real time, in alternation; ours-stages is wanted at most {MOST_RATIO} x batched"
    return shown


def _least(runs: Runs, row: VadRow) -> list[float]:
    for other, results in runs.items():
        if other.row == LEAST and other.streams == row.streams and row.row != LEAST:
            return costs(results)
    return []
