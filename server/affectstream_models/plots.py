"""Pictures of an evaluation, as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affectstream_models.judge import Figures


def confusion_plot(path: Path, title: str, figures: Figures, labels: Sequence[str]) -> None:
    """Counts of clips: rows are the truth, columns what was told; shaded by share of the row."""
    counts = np.array(figures.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _canvas(title)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("told")
    axes.set_ylabel("truth")
    for row, column in np.ndindex(counts.shape):
        shade = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=shade)
    figure.savefig(path, dpi=120)


def reliability_plot(path: Path, title: str, figures: Figures) -> None:
    """Accuracy over confidence in bins of equal size; on the diagonal a probability means what it says."""
    figure, axes = _canvas(f"{title}: ECE {figures.ece:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
    confidence = [part.confidence for part in figures.reliability]
    axes.plot(confidence, [part.accuracy for part in figures.reliability], marker="o")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    figure.savefig(path, dpi=120)


def _canvas(title: str):  # type: ignore[no-untyped-def]
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    return figure, axes
