"""A picture of one session: the waveform, the utterances, their emotions and their dimensions.

Needs the `plot` extra. Drawn without a display.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent
from affectstream.palette import UNKNOWN, colour

INK: Final = "#22262B"
FAINT: Final = "#6B7280"
GRID: Final = "#E5E7EB"
WAVE: Final = "#4B5563"
_DIMENSIONS: Final = {"arousal": ("#22262B", "o"), "valence": ("#009E73", "s"), "dominance": ("#0072B2", "D")}
_UNSURE: Final[dict[str, Any]] = {
    "facecolor": "#EFEFEF",
    "edgecolor": UNKNOWN,
    "hatch": "////",
    "linewidth": 0,
}
_COLUMNS: Final = 2400
_LABELLED: Final = 30
"""Points that have room for their value."""

Axes = Any
"""matplotlib has no types."""


def draw_timeline(
    path: Path,
    waveform: npt.NDArray[np.float32],
    rate_hz: int,
    finals: Sequence[AffectEvent],
    *,
    title: str,
    footnote: str,
) -> None:
    """Write a PNG.

    Args:
        path: Where to.
        waveform: The analysed channel, shape (samples,), -1..1.
        rate_hz: Its rate.
        finals: Final events, in order; those without values are drawn in grey.
        title: Above the picture.
        footnote: Below it.
    """
    figure = Figure(figsize=(14, 7.6), dpi=140, facecolor="white")
    FigureCanvasAgg(figure)
    wave, shares, levels = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": (1.25, 1, 1.25), "hspace": 0.16}
    )
    figure.subplots_adjust(left=0.075, right=0.985, top=0.845, bottom=0.105)
    figure.text(0.075, 0.952, title, fontsize=17, fontweight="bold", color=INK, va="center")
    figure.text(0.075, 0.022, footnote, fontsize=8.5, color=FAINT)
    duration_s = len(waveform) / rate_hz
    _waveform(wave, waveform, duration_s)
    _spans(wave, finals, duration_s)
    _shares(shares, finals)
    _levels(levels, finals)
    _legend(figure, finals)
    for axes in (wave, shares, levels):
        _clean(axes)
    levels.set_xlim(0, duration_s)
    levels.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    levels.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{s % 60:02.0f}"))
    levels.set_xlabel("position in the audio, minutes:seconds", fontsize=9.5, color=FAINT)
    figure.savefig(path)


def _waveform(axes: Axes, waveform: npt.NDArray[np.float32], duration_s: float) -> None:
    """The envelope: smallest and largest sample of each column."""
    columns = max(1, min(_COLUMNS, len(waveform)))
    edges = np.linspace(0, len(waveform), columns + 1).astype(int)[:-1]
    finite = np.nan_to_num(waveform)
    low, high = np.minimum.reduceat(finite, edges), np.maximum.reduceat(finite, edges)
    at_s = (np.arange(columns) + 0.5) * duration_s / columns
    axes.fill_between(at_s, low, high, color=WAVE, linewidth=0, zorder=3)
    peak = max(0.05, float(np.max(np.abs(finite), initial=0.0)))
    axes.set_ylim(-1.1 * peak, 1.55 * peak)
    axes.set_yticks([])
    axes.set_ylabel("waveform", fontsize=10, color=INK)


def _spans(axes: Axes, finals: Sequence[AffectEvent], duration_s: float) -> None:
    top = axes.get_ylim()[1]
    fits_s = duration_s / 22  # narrower spans have no room for their label
    for number, event in enumerate(finals, start=1):
        start_s, end_s = event.audio_start.seconds, event.audio_end.seconds
        shade = _shade(event)
        axes.axvspan(start_s, end_s, color=shade, alpha=0.28, linewidth=0, zorder=1)
        if event.status != AffectStatus.OK:
            axes.axvspan(start_s, end_s, **_UNSURE, zorder=1)
        axes.plot(
            [start_s, end_s], [top * 0.985] * 2, color=shade, linewidth=5, solid_capstyle="butt", zorder=4
        )
        if event.duration.seconds < fits_s / 4:
            continue
        wide = event.duration.seconds >= fits_s
        label = (event.top_label if event.status == AffectStatus.OK else "unsure") if wide else ""
        axes.text(
            (start_s + end_s) / 2,
            top * 0.81,
            f"{number}  {label}" if label else str(number),
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
            zorder=5,
            clip_on=True,
        )


def _shares(axes: Axes, finals: Sequence[AffectEvent]) -> None:
    """The whole distribution of each utterance as a stack, faded where the model abstained."""
    for event in finals:
        bottom = 0.0
        for score in event.emotions:
            axes.bar(
                event.audio_start.seconds,
                score.probability,
                width=event.duration.seconds,
                bottom=bottom,
                align="edge",
                color=colour(score.label),
                alpha=1.0 if event.status == AffectStatus.OK else 0.35,
                edgecolor="white",
                linewidth=0.8,
                zorder=3,
            )
            bottom += score.probability
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("emotions", fontsize=10, color=INK)


def _levels(axes: Axes, finals: Sequence[AffectEvent]) -> None:
    """Each dimension that the model gives: a bar over each utterance, a point in its middle, a thin line."""
    for name, (ink, marker) in _DIMENSIONS.items():
        given = [(event, value) for event in finals if (value := getattr(event.dimensions, name)) is not None]
        if not given:
            continue
        middles = [(event.audio_start.seconds + event.audio_end.seconds) / 2 for event, _ in given]
        values = [value for _, value in given]
        axes.plot(middles, values, color=ink, linewidth=1.2, alpha=0.45, zorder=3)
        for middle, (event, value) in zip(middles, given, strict=True):
            sure = event.status == AffectStatus.OK
            shade = _shade(event) if name == "arousal" else ink
            ends = [event.audio_start.seconds, event.audio_end.seconds]
            axes.plot(ends, [value] * 2, color=shade, linewidth=3.2, solid_capstyle="round", zorder=4)
            axes.plot(
                middle,
                value,
                marker,
                color=ink,
                markerfacecolor=ink if sure else "white",
                markersize=6,
                zorder=5,
            )
            if len(given) > _LABELLED:
                continue
            axes.annotate(
                f"{value:.2f}",
                (middle, value),
                textcoords="offset points",
                xytext=(0, 8),
                ha="center",
                fontsize=8,
                color=INK,
            )
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    given_names = [
        name for name in _DIMENSIONS if any(getattr(e.dimensions, name) is not None for e in finals)
    ]
    axes.set_ylabel(", ".join(given_names) or "dimensions", fontsize=10, color=INK)


def _legend(figure: Figure, finals: Sequence[AffectEvent]) -> None:
    labels = list(dict.fromkeys(score.label for event in finals for score in event.emotions))
    handles = [Patch(color=colour(label), label=label) for label in labels]
    if any(event.status != AffectStatus.OK for event in finals):
        handles.append(Patch(**_UNSURE, label="unsure or no values"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.07, 0.93),
        ncols=max(1, len(handles)),
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=1.1,
        handleheight=1.1,
        columnspacing=1.6,
    )


def _shade(event: AffectEvent) -> str:
    return colour(event.top_label) if event.status == AffectStatus.OK else UNKNOWN


def _clean(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(length=0, labelsize=9, labelcolor=FAINT)
    axes.grid(axis="y", color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
