"""The bridge's bench measures what it says, briefly."""

from __future__ import annotations

from bench.bridge import measure


async def test_figures_of_a_short_run() -> None:
    found = await measure(streams=2, seconds=2.0)
    assert found["events"] >= 2 * 3
    assert found["cpu_s_per_audio_hour"] > 0
    assert all(0 < ms < 1_000 for ms in found["round_trip_ms_p50"].values())
