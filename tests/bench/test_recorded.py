"""Recorded latencies: kept, drawn in a fixed order, and waited for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from affectstream_server.scoring.triton import TritonScorer
from affectstream_server.scoring.triton_client import TritonClient
from affectstream_server.settings import TritonSettings
from bench.histogram import Histogram
from bench.recorded import LATENCIES, MODEL, Latencies, read, record
from bench.server import Server


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    record([1.0, 2.0, 50.0], {"what": "made up"}, path)
    assert read(path).summary() == Histogram([1_000_000, 2_000_000, 50_000_000]).summary()
    assert json.loads(path.read_text(encoding="utf-8"))["what"] == "made up"


def test_draws_follow_the_histogram_and_are_the_same_each_time() -> None:
    histogram = Histogram(ms * 1_000_000 for ms in range(1, 101))
    first, second = Latencies(histogram), Latencies(histogram)
    drawn = [first.draw_s() for _ in range(2_000)]
    assert drawn == [second.draw_s() for _ in range(2_000)]
    assert np.median(drawn) == pytest.approx(0.050, abs=0.005)
    assert min(drawn) >= 0.001
    assert max(drawn) <= 0.101


def test_the_recording_says_what_measured_it() -> None:
    recorded = json.loads(LATENCIES.read_text(encoding="utf-8"))
    assert recorded["command"] == "python -m bench.overhead --record"
    assert recorded["count"] == len(read()) > 100
    assert recorded["versions"]["cpu"]


async def test_the_service_takes_it_for_a_triton() -> None:
    """The watch asks for configuration, labels and canary as it asks the real one."""
    async with Server("inference", None) as server:
        client = TritonClient(server.address)
        scorer = TritonScorer(client, MODEL, TritonSettings(), max_pending=4)
        scorer.start(lambda: None)
        try:
            while scorer.trouble:
                await _soon()
            score = await scorer.score("u1", np.zeros(16_000, np.int16), 5.0)
        finally:
            await scorer.close()
            await client.close()
    assert score.model.name == "affect-embedded"
    assert score.probabilities.sum() == pytest.approx(1.0)
    assert score.compute_ms >= read().percentile_ms(0.0)  # type: ignore[operator]


async def _soon() -> None:
    import asyncio

    await asyncio.sleep(0.05)
