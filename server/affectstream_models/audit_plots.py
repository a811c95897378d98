"""Pictures of an audit, as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affectstream_models.audit_report import Audit, beyond_chance

COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3")


def robustness_plot(path: Path, audit: Audit) -> None:
    """Share of flips by perturbation, a bar for each corpus, with 95 %."""
    names = [one.perturbation for one in audit.parts[0].drifts]
    figure = Figure(figsize=(7.2, 1.2 + 0.27 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.8 / len(audit.parts)
    for number, part in enumerate(audit.parts):
        flips = np.array([one.flips for one in part.drifts])
        bounds = np.array([one.flips_interval for one in part.drifts])
        axes.barh(
            np.arange(len(names)) + (number - (len(audit.parts) - 1) / 2) * height,
            flips,
            height=height,
            xerr=np.abs(bounds.T - flips),
            color=COLOURS[number % len(COLOURS)],
            error_kw={"linewidth": 0.8, "ecolor": "#555555"},
            label=part.where,
        )
    _separate_kinds(axes, names)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("clips whose likeliest label becomes another")
    axes.set_ylim(len(names) - 0.4, -0.6)
    figure.suptitle(f"{audit.model}: one thing changed, the same words in the same mood", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=90)


def gaps_plot(path: Path, audit: Audit) -> None:
    """Differences between groups with 95 %, and each speaker's UAR beside the others'."""
    rows = [(gap, name) for gap in audit.gaps for name in gap.difference]
    heights = [max(1, len(rows)), max(1, 2 * len(audit.spreads))]
    figure = Figure(figsize=(7.2, 1.8 + 0.2 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    for place, (gap, name) in enumerate(rows):
        low, high = gap.intervals[name]
        sure = name in beyond_chance(gap)
        colour = "#c0392b" if sure else "#555555"
        upper.plot([low, high], [place, place], color=colour, linewidth=1.5)
        upper.plot(gap.difference[name], place, marker="o", color=colour, markersize=4)
    labels = [f"{gap.of} {gap.first.group} − {gap.second.group}, {gap.where}: {name}" for gap, name in rows]
    upper.axvline(0, color="black", linewidth=0.8)
    upper.set_yticks(range(len(rows)), labels, fontsize=7)
    upper.set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(f"{audit.model}: difference between groups, 95 % (red: leaves out 0)", fontsize=10)
    upper.grid(axis="x", alpha=0.3)
    for place, one in enumerate(audit.spreads):
        lower.plot(list(one.speakers.values()), [place] * len(one.speakers), "o", alpha=0.7)
        middle = np.mean(list(one.speakers.values()))
        for edge in (-0.5, 0.5):
            lower.plot([middle + edge * one.by_chance] * 2, [place - 0.25, place + 0.25], color="grey")
    lower.set_yticks(range(len(audit.spreads)), [one.where for one in audit.spreads], fontsize=8)
    lower.set_ylim(len(audit.spreads) - 0.5, -0.5)
    lower.set_xlim(0, 1)
    lower.set_xlabel("UAR of each speaker; between the bars: as far apart as by chance", fontsize=8)
    lower.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=90)


def _separate_kinds(axes, names: list[str]) -> None:  # type: ignore[no-untyped-def]
    """A line between one kind of perturbation and the next."""
    kinds = [name.rsplit(" ", 2)[0].split(" ")[0] for name in names]
    for place in range(1, len(kinds)):
        if kinds[place] != kinds[place - 1]:
            axes.axhline(place - 0.5, color="#bbbbbb", linewidth=0.6)
