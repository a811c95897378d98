"""The figures that one asks for by name, from everything that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Figures = Mapping[str, Any]
_STREAMS: Final = 100
_LATE_STREAMS: Final = 50


def summary(document: Figures) -> dict[str, Any]:
    """Keys of latest.json: what was not measured is None. Frame sizes are keys such as ``20``, in ms."""
    configurations: Sequence[Figures] = document["configurations"]
    at_100 = [one for one in configurations if one["streams"] == _STREAMS and one.get("processes", 1) == 1]

    def by_frame(kind: str, of: str) -> dict[str, Any]:
        return {str(one["frame_ms"]): plain(one[of]) for one in at_100 if one["kind"] == kind and one.get(of)}

    service = next((one for one in at_100 if (one["kind"], one["frame_ms"]) == ("service", 20)), None)
    late = next(
        (one for one in configurations if (one["kind"], one["streams"]) == ("late", _LATE_STREAMS)), None
    )
    memory = document.get("memory") or {}
    return {
        "cpu_s_per_audio_hour": {
            "streams": _STREAMS,
            "always_on": by_frame("listen", "cpu_s_per_audio_hour"),
            "with_scoring": by_frame("service", "cpu_s_per_audio_hour"),
            "bare_grpc": by_frame("floor", "cpu_s_per_audio_hour"),
            "bare_websocket": by_frame("websocket", "cpu_s_per_audio_hour"),
            "always_on_to_bare_grpc_and_batched_vad": by_frame("listen", "always_on_ratio"),
            "two_processes_to_one": _two_to_one(configurations),
            "vad": {
                f"{one['row']} {one['streams']}": one.get("cpu_s_per_audio_hour") for one in document["vad"]
            },
        },
        "streams_per_core": {
            f"{one['kind']} {one['frame_ms']} ms, {one['processes']} processes": one["streams"]
            for one in document.get("searches") or ()
        },
        "decision_lag_ms": by_frame("service", "decision_lag_ms"),
        "final_lag_ms": {
            "hits": plain(service["final_lag_hit_ms"]) if service else None,
            "misses": plain(service["final_lag_miss_ms"]) if service else None,
            "hit_share": _hit_share(service) if service else None,
            "without_speculation": plain(late["final_lag_ms"]) if late else None,
        },
        "overhead_over_triton_ms": {
            str(one["streams"]): {key: one[key] for key in ("above_raw", "paired", "windows")}
            for one in document.get("overhead") or ()
        },
        "rss_kib_per_stream": {
            "streaming": by_frame("service", "rss_kib_per_stream"),
            "idle": memory.get("idle", {}).get("kib_per_stream"),
            "second_of_open_utterance": memory.get("utterance", {}).get("kib_per_second"),
        },
        "loop_lag_ms_p99": {
            str(one["frame_ms"]): loop_lag_ms(one) for one in at_100 if one["kind"] == "service"
        },
    }


def plain(figure: Figures) -> dict[str, Any]:
    """A figure without its raw counts, which stay where it is from."""
    return {key: value for key, value in figure.items() if key != "histogram"}


def loop_lag_ms(one: Figures) -> float | None:
    """How much longer than without streams the event loop keeps a caller waiting, at p99."""
    loaded, idle = one["loop_probe_ms"]["p99"], one["loop_probe_idle_ms"]["p50"]
    return None if loaded is None or idle is None else round(max(0.0, loaded - idle), 3)


def _hit_share(one: Figures) -> float | None:
    """Of the endpoints in the window that a sample decided: how many were scored ahead."""
    hits, misses = one["final_lag_hit_ms"]["count"], one["final_lag_miss_ms"]["count"]
    return round(hits / (hits + misses), 4) if hits + misses else None


def _two_to_one(configurations: Sequence[Figures]) -> dict[str, float]:
    """By kind: the cost of two processes in costs of one."""
    cost = {
        (one["kind"], one["streams"], one["frame_ms"], one.get("processes", 1)): one["cpu_s_per_audio_hour"]
        for one in configurations
    }
    return {
        key[0]: round(two["median"] / cost[(*key[:3], 1)]["median"], 3)
        for key, two in cost.items()
        if key[3] == 2 and cost.get((*key[:3], 1), {}).get("median")
    }
