"""Runs of one scenario → its figures: medians with their spread, merged histograms, finals, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any, TypedDict

from bench.account import LAGS
from bench.histogram import Histogram
from bench.job import Run
from bench.scenario import FLOORS, Scenario


class Spread(TypedDict):
    """A figure that each run has once."""

    median: float
    min: float
    max: float
    runs: list[float]


def spread(values: Sequence[float]) -> Spread:
    """Median, ends and all of some values, at least one."""
    rounded = [round(value, 4) for value in values]
    return Spread(median=round(median(values), 4), min=min(rounded), max=max(rounded), runs=rounded)


def an_hour(seconds: float, audio_s: float) -> float:
    """Seconds of work for ``audio_s`` as seconds for an hour of audio; 0 where there was no audio."""
    return seconds * 3_600 / audio_s if audio_s else 0.0


def times(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """One of the runs' histograms merged: percentiles in ms, those of each run, and the counts."""
    histograms = [Histogram.decode(run["histograms"][name]) for run in runs]
    merged = Histogram()
    for histogram in histograms:
        merged.add(histogram)
    figures: dict[str, Any] = merged.summary()
    for label, percent in (("run_p50", 50.0), ("run_p99", 99.0)):
        known = [value for value in (one.percentile_ms(percent) for one in histograms) if value is not None]
        figures[label] = spread(known) if known else None
    figures["histogram"] = merged.encode()
    return figures


def costs(runs: Sequence[Run]) -> list[float]:
    """The server's CPU-seconds for an hour of audio, of each run."""
    return [an_hour(run["server_cpu_s"], run["audio_s"]) for run in runs]


def ratios(own: Sequence[float], least: Sequence[float]) -> Spread | None:
    """Each of ``own`` in units of ``least`` of the same round, where that is not 0; None: there are none."""
    found = [one / other for one, other in zip(own, least, strict=False) if other]
    return spread(found) if found else None


def figures(
    scenario: Scenario, runs: Sequence[Run], floor: Sequence[float] = (), least_vad: Sequence[float] = ()
) -> dict[str, Any]:
    """Everything `bench/results/latest.json` says of one scenario.

    ``floor`` is what the bare gRPC server cost for the same streams and frames, and ``least_vad`` what the
    batched loop of `bench.vad` cost for as many, in the same rounds: without them ``floor_ratio`` and
    ``always_on_ratio``, to the sum of both, are None.
    """
    cpu = costs(runs)
    both = [one + other if one and other else 0.0 for one, other in zip(floor, least_vad, strict=False)]
    found: dict[str, Any] = {
        "name": scenario.name,
        "kind": scenario.kind,
        "streams": scenario.streams,
        "frame_ms": scenario.frame_ms,
        "processes": scenario.processes,
        "seconds": scenario.seconds,
        "runs": len(runs),
        "cpu_s_per_audio_hour": spread(cpu),
        "server_cpu_share": spread([run["server_cpu_s"] / scenario.seconds for run in runs]),
        "rss_kib_per_stream": spread(
            [(run["rss_kib"] - run["rss_idle_kib"]) / scenario.streams for run in runs]
        ),
        "loop_probe_ms": times("loop_probe_ms", runs),
        "loop_probe_idle_ms": times("loop_probe_idle_ms", runs),
        "driver": {
            "lateness_ms": times("driver_lateness_ms", runs),
            "cpu_share": spread([run["driver_cpu_share"] for run in runs]),
            "blocked_frames": sum(run["blocked_frames"] for run in runs),
        },
        "others_cpu_share": spread([run["others_cpu_share"] for run in runs]),
        "load_1min": spread([run["load_1min"] for run in runs]),
        "clock_drift_ms": spread([run["clock_drift_ms"] for run in runs]),
        "faults": [
            f"run {number}, {fault}" for number, run in enumerate(runs, start=1) for fault in run["faults"]
        ],
    }
    if scenario.kind not in FLOORS:
        found |= _of_service(runs)
        found["floor_ratio"] = ratios(cpu, floor)
        found["always_on_ratio"] = ratios(cpu, both)
    return found


def _of_service(runs: Sequence[Run]) -> dict[str, Any]:
    declared = sum(run["declared"] for run in runs)
    delivered = sum(run["delivered"] for run in runs)
    statuses: Counter[str] = Counter()
    for run in runs:
        statuses.update(run["statuses"])
    used = sum(run["scores_used"] for run in runs)
    dropped = sum(run["scores_dropped"] for run in runs)
    return {name: times(name, runs) for name in LAGS} | {
        "speculation": {
            "hit_share": round(used / declared, 4) if declared else None,
            "wasted_share": round(dropped / (dropped + declared), 4) if declared else None,
        },
        "model_s_per_audio_hour": spread([an_hour(run["compute_s"], run["audio_s"]) for run in runs]),
        "finals": {
            "declared": declared,
            "delivered": delivered,
            "share": round(delivered / declared, 6) if declared else None,
            "statuses": dict(statuses.most_common()),
        },
    }


def passed(found: dict[str, Any]) -> bool:
    """No fault, and every utterance, of which there was at least one, has its one final."""
    return not found["faults"] and (found["kind"] in FLOORS or found["finals"]["share"] == 1.0)
