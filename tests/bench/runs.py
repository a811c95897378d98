"""Made-up runs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.account import LAGS
from bench.histogram import Histogram
from bench.job import Run

MS = 1_000_000
TIMES = (*LAGS, "driver_lateness_ms", "loop_probe_ms", "loop_probe_idle_ms")


def made_run(
    *,
    cpu_s: float = 1.0,
    audio_s: float = 360.0,
    rss_kib: float = 120_000.0,
    times_ms: Sequence[int] = (1, 2, 3),
    late_ms: int = 1,
    declared: int = 5,
    delivered: int = 5,
    faults: Sequence[str] = (),
) -> Run:
    """A run whose every latency is ``times_ms`` and whose server began with 100,000 KiB."""
    histograms = {name: Histogram(time * MS for time in times_ms).encode() for name in TIMES}
    histograms["driver_lateness_ms"] = Histogram([late_ms * MS]).encode()
    return Run(
        audio_s=audio_s,
        server_cpu_s=cpu_s,
        driver_cpu_share=0.25,
        others_cpu_share=0.1,
        rss_idle_kib=100_000.0,
        rss_kib=rss_kib,
        histograms=histograms,
        blocked_frames=0,
        declared=declared,
        delivered=delivered,
        in_time=delivered,
        refused_streams=0,
        refusals=0,
        scores_used=0,
        scores_dropped=0,
        statuses={"OK": delivered},
        compute_s=0.5,
        faults=list(faults),
        clock_drift_ms=0.0,
        load_1min=0.5,
    )
