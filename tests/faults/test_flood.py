"""What one tenant's flood does to the latency of another, in turns with and without it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RATIO = 1.5
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.fault("limits reached")
@pytest.mark.timeout(700)
def test_a_flood_leaves_the_latency_of_the_other_tenant(
    full: bool, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    if not full:
        pytest.skip("minutes of calls at real time: --full (in short: tests/wire/test_neighbours.py)")
    file = tmp_path / "neighbour.json"
    subprocess.run(
        [sys.executable, "-m", "bench.neighbour", "--rounds", "7", "--seconds", "15", "--output", file],
        cwd=ROOT,
        check=True,
        timeout=680,
        stdout=subprocess.DEVNULL,
    )
    found = json.loads(file.read_text(encoding="utf-8"))
    seen = found.get("neighbour", found)
    ratio, flood = seen["client_lag_ms"]["p99"]["rounds"], seen["flood"]
    figure(
        f"p99 of audio due to final received: {ratio['median']:.2f} times (wanted: {RATIO}) in the median of "
        f"{len(ratio['runs'])} rounds, {ratio['min']:.2f} to {ratio['max']:.2f} in each; "
        f"{flood['delivered']} of {flood['declared']} finals, {len(flood['faults'])} refused"
    )
    assert flood["delivered"] == flood["declared"] > 0
    assert flood["faults"] == []
    assert ratio["median"] <= RATIO  # of times taken in turns: what else the machine does is in both
