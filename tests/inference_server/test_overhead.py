"""The bench of the overhead runs from end to end; what it measures here means nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tools.triton.server import ROOT


@pytest.mark.usefixtures("_installed")
async def test_a_short_run_writes_its_figures(tmp_path: Path) -> None:
    output = tmp_path / "overhead.json"
    command = ("-m", "bench.overhead", "--streams", "3", "--seconds", "8", "--output", str(output))
    environment = {name: value for name, value in os.environ.items() if name != "AFFECTSTREAM_AUDIO"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command), cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    table, _ = await asyncio.wait_for(process.communicate(), 110)
    assert process.returncode == 0
    assert "service above direct" in table.decode()
    (load,) = json.loads(output.read_text())["loads"]
    assert load["windows"] > 0
    for side in ("service", "raw", "shared"):
        assert len(load["times_ms"][side]) == load["windows"]
    assert load["above_raw"]["p50"] == pytest.approx(load["service"]["p50"] - load["raw"]["p50"], abs=0.002)
