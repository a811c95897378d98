"""Lag against load, from the simulation, with what was measured beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from affectstream.capacity.assumptions import DEFAULTS
from affectstream.capacity.batcher import Scorer, finals_ms, waits_s
from affectstream.capacity.core import Costs, simulate
from affectstream.capacity.estimate import gpu_rates, lead_ms
from affectstream.capacity.figures import Figures
from affectstream.capacity.fit import load_of, streams_per_core
from affectstream.capacity.shipped import shipped
from tools.capacity.page import PLAN

_COLOURS: Final = {20: "#b45309", 100: "#1d4ed8"}
_MOST_MS: Final = 5_000


def draw(path: Path) -> None:
    """Write the picture; the same figures make the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figures, costs = shipped()
    with mpl.rc_context({"svg.hashsalt": "capacity", "svg.fonttype": "none", "font.size": 9}):
        canvas = Figure(figsize=(9.0, 3.8), layout="constrained")
        left, right = canvas.subplots(1, 2)
        _core(left, figures, costs)
        _gpu(right, figures)
        canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _core(axes: Any, figures: Figures, costs: Costs) -> None:
    for frame_ms, colour in _COLOURS.items():
        full = streams_per_core(figures, costs, PLAN.kind, frame_ms, 0.97)
        numbers = np.unique(np.linspace(full / 10, full * 1.3, 14).astype(int))
        late = []
        for streams in numbers.tolist():
            outcome = simulate(load_of(figures, costs, "recorded", streams, frame_ms), costs)
            late.append(np.percentile(outcome.decision_ms + outcome.final_ms, [50, 99]))
        p50, p99 = np.array(late).T
        axes.plot(numbers, p99, color=colour, label=f"{frame_ms} ms frames, p99")
        axes.plot(numbers, p50, color=colour, linestyle=":", label="p50")
        used = streams_per_core(figures, costs, PLAN.kind, frame_ms, DEFAULTS.core_share)
        axes.axvline(used, color=colour, linewidth=0.7, linestyle="--")
    seen = [(side.streams, side.client_p99) for side in figures.overload if side.client_p99]
    if seen:
        axes.plot(*zip(*seen, strict=True), "x", color=_COLOURS[20], label="overload, 20 ms, measured p99")
    axes.set_yscale("log")
    axes.set_ylim(1, _MOST_MS)
    axes.axhline(DEFAULTS.objective_ms, color="#6b7280", linewidth=0.7)
    axes.set_xlabel(f"streams on one core (dashed: {DEFAULTS.core_share:.0%} of it)")
    axes.set_ylabel("deciding sample due → final leaves, ms")
    axes.set_title("A server's core")
    axes.legend(frameon=False, fontsize=7)


def _gpu(axes: Any, figures: Figures) -> None:
    least, most = gpu_rates(figures, PLAN, DEFAULTS)
    shares = np.linspace(0.1, 1.05, 20)
    for rate, colour in zip(_assumed_rates(), _COLOURS.values(), strict=True):
        scorer = Scorer(rate)
        late = np.array(
            [
                np.percentile(
                    finals_ms(
                        waits_s(scorer, share * scorer.most_per_s), figures.hit_share, lead_ms(figures)
                    ),
                    [50, 99],
                )
                for share in shares
            ]
        )
        axes.plot(100 * shares, np.maximum(late[:, 1], 1), color=colour, label=f"{rate:.0f} windows/s, p99")
        axes.plot(100 * shares, np.maximum(late[:, 0], 1), color=colour, linestyle=":", label="p50")
    axes.axhline(DEFAULTS.objective_ms, color="#6b7280", linewidth=0.7)
    axes.set_yscale("log")
    axes.set_ylim(1, _MOST_MS)
    axes.set_xlabel("% of what the card does in its largest batches")
    axes.set_ylabel("endpoint → score, ms")
    axes.set_title(f"A GPU (assumed): {least:.0f} to {most:.0f} windows/s in time")
    axes.legend(frameon=False, fontsize=7)


def _assumed_rates() -> tuple[float, float]:
    from affectstream.capacity.assumptions import REACHED

    assert PLAN.gpu is not None  # noqa: S101 - the page is about one
    least, most = (one * PLAN.gpu.bf16_flop_s / DEFAULTS.window_flop for one in REACHED)
    return least, most
