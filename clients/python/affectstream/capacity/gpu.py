"""The card that is asked for: by its data sheet, or as bench/gpu.py measured it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from affectstream.capacity.assumptions import GPUS, Gpu
from affectstream.capacity.estimate import Plan
from affectstream.capacity.figures import FiguresError

NONE = "none"


def plan(given: str) -> Plan:
    """For a name, a file, or `NONE`. Raises `FiguresError`."""
    if given == NONE:
        return Plan()
    if given in GPUS:
        return Plan(gpu=GPUS[given])
    path = Path(given)
    if not path.exists():
        raise FiguresError(
            f"--gpu: got {given!r}, expected {', '.join(GPUS)}, {NONE}, or a file of bench/gpu.py --out"
        )
    try:
        return _measured(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"--gpu {path}: not a result of bench/gpu.py: {error!r}") from None


def _measured(document: dict[str, object]) -> Plan:
    """The fastest way to run the network, as a time that grows evenly with the batch."""
    rows = document["rows"]
    if not isinstance(rows, list) or len({row["batch"] for row in rows}) < 2:
        raise ValueError("expected rows of two batch sizes or more")
    modes = {row["mode"] for row in rows}
    best = max(modes, key=lambda mode: max(row["utterances_per_s"] for row in rows if row["mode"] == mode))
    sizes, times_s = zip(
        *((row["batch"], row["latency_ms"] / 1_000) for row in rows if row["mode"] == best), strict=True
    )
    slope, start = np.polyfit(sizes, times_s, 1)
    if slope <= 0:
        raise ValueError("larger batches take no longer")
    return Plan(
        gpu=Gpu(0.0, f"{document['card']}, measured"),
        gpu_per_s=float(1 / slope),
        gpu_overhead=max(float(start / slope), 0.0),
    )
