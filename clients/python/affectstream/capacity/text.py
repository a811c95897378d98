"""Estimates and checks as tables, for terminals and for pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from affectstream.capacity.assumptions import REACHED, Assumptions, sources
from affectstream.capacity.check import Row
from affectstream.capacity.estimate import Estimate, Plan, Tier
from affectstream.capacity.figures import Figures

Cells = list[list[str]]
_BUSY_CORES: Final = 0.3


def estimates(found: Sequence[Estimate]) -> Cells:
    """A column for each number of calls; the first column names, the second says what one holds."""
    cells = [["", "one holds, calls", *(f"{one.calls:,} calls" for one in found)]]
    for place, tier in enumerate(found[0].tiers):
        needs = [_range(*one.tiers[place].needed(one.calls)) for one in found]
        cells.append([f"{tier.name} ({tier.unit})", _range(round(tier.least), round(tier.most)), *needs])
    cells += [
        ["memory of the servers, GiB", "", *(_number(one.memory_gib) for one in found)],
        ["audio in, Gbit/s", "", *(_number(one.audio_gbit_s) for one in found)],
        ["windows to the GPUs, Gbit/s", "", *(_number(one.scoring_gbit_s) for one in found)],
        ["events in Redis, GiB", "", *(_number(one.retained_gib) for one in found)],
        ["utterances a second", "", *(_number(one.utterances_per_s) for one in found)],
        ["saturates first", "", *(_first(one) for one in found)],
    ]
    return [row for row in cells if set(row[2:]) != {"0"}]


def doubled(before: Estimate, after: Estimate) -> str:
    """What twice the calls take more, in a sentence."""
    more = []
    for tier, same in zip(after.tiers, before.tiers, strict=True):
        least, most = (
            new - old for new, old in zip(tier.needed(after.calls), same.needed(before.calls), strict=True)
        )
        if most:
            more.append(f"{tier.name} {_range(least, most)}")
    more.append(f"memory {_number(after.memory_gib - before.memory_gib)} GiB")
    return f"From {before.calls:,} to {after.calls:,} calls, more: {'; '.join(more)}."


def checks(rows: Sequence[Row]) -> Cells:
    """Predicted and measured side by side."""
    return [
        ["", "figure", "predicted", "measured", "error"],
        *(
            [row.what, row.figure, _number(row.predicted), _number(row.measured), f"{row.error:+.0%}"]
            for row in rows
        ),
    ]


def assumptions(assumed: Assumptions) -> Cells:
    """Each with its source."""
    return [
        ["assumed", "", "from"],
        *(
            [f"`{name}`", f"{getattr(assumed, name):g} {unit}", source]
            for name, (unit, source) in sources().items()
        ),
    ]


def table(found: Sequence[Estimate]) -> str:
    """For a terminal."""
    cells = estimates(found)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def markdown(cells: Cells) -> str:
    """For a page."""
    head, *rows = cells
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def busy_said(figures: Figures) -> str:
    """A warning, where they were taken on a machine that did something else; empty: it did not."""
    if figures.others_cores < _BUSY_CORES:
        return ""
    return (
        f"**Other work took {figures.others_cores:.1f} cores of the machine meanwhile**: shares of a core "
        "are rough, latencies and the overload say little of the server. Take them on a quiet machine."
    )


def gpu_said(plan: Plan) -> str:
    """What is known of the GPU, in a sentence."""
    if plan.gpu is None:
        return "GPUs: none; the embedded model scores in the server."
    if plan.gpu_per_s:
        return f"GPUs: {plan.gpu.name}: {plan.gpu_per_s:.0f} windows a second in large batches."
    least, most = (round(100 * one) for one in REACHED)
    return (
        f"GPUs: {plan.gpu.name} by its data sheet, of whose rate the model is assumed to reach {least} to "
        f"{most} %: a range, not a measurement. python bench/gpu.py --out FILE measures a card; --gpu FILE "
        "takes it."
    )


def _first(found: Estimate) -> str:
    tier: Tier = found.first
    if tier.splits:
        return tier.name
    return f"{tier.name}: {tier.needed(found.calls)[1]:,} cells"


def _range(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
