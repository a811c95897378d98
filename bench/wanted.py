"""What is wanted of the service, and what a result says: the table of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Row = tuple[str, str, str]
_OURS: Final = {
    "ours-stages": ("VAD and segmentation", "≤ 1.3"),
    "ours": ("the same with sessions, messages and events", "-"),
}


def render(document: Mapping[str, Any]) -> str:
    """The table as Markdown; what a result does not hold is left out."""
    versions = document["versions"]
    lines = [
        f"`{document['command']}`, {document['date'][:10]}, commit {versions['commit']}, "
        f"{versions['cores']} cores of an {versions['cpu']}, Python {versions['python']}; medians:",
        "",
        "| figure | wanted | seen |",
        "| --- | --- | --- |",
    ]
    rows = (*_cost(document), *_lags(document), *_memory(document), *_overload(document))
    return "\n".join([*lines, *(f"| {what} | {wanted} | {seen} |" for what, wanted, seen in rows)])


def _cost(document: Mapping[str, Any]) -> Iterator[Row]:
    cost = document["cpu_s_per_audio_hour"]
    for frame_ms, ratio in cost["always_on_to_bare_grpc_and_batched_vad"].items():
        yield (
            f"always-on path, 100 streams × {frame_ms} ms, in costs of bare gRPC and a batched Silero loop",
            "≤ 1.35",
            _spread(ratio, 2),
        )
    for one in document["vad"]:
        ratio = one.get("ratio_to_batched")
        if one["row"] in _OURS and ratio:
            what, wanted = _OURS[one["row"]]
            yield (
                f"{what} without a network, {one['streams']} streams, in costs of a batched Silero loop",
                wanted,
                _spread(ratio, 2),
            )
    for kind, ratio in cost["two_processes_to_one"].items():
        yield f"two processes, in costs of one ({kind}, on one core)", "≤ 1.1", f"{ratio:.2f}"
    most = {20: 120, 100: 250}
    for search in document.get("searches") or ():
        if search["kind"] == "recorded" and search["processes"] == 1 and search["frame_ms"] in most:
            yield (
                f"real-time streams at 70 % of a core, {search['frame_ms']} ms frames",
                f"≥ {most[search['frame_ms']]}",
                f"{search['streams']}",
            )


def _lags(document: Mapping[str, Any]) -> Iterator[Row]:
    hits = document["final_lag_ms"]["hits"]
    if hits and hits["count"]:
        yield (
            "`final_lag_ms`, scored ahead, 100 streams × 20 ms, p50 / p99",
            "≤ 1 / ≤ 10",
            f"{hits['p50']:.1f} / {hits['p99']:.1f}",
        )
    for frame_ms, lag in _by_length(document["loop_lag_ms_p99"]):
        if lag is not None:
            yield f"event loop's lag beside scoring, 100 streams × {frame_ms} ms, ms p99", "-", f"{lag:.0f}"
    for streams, over in document["overhead_over_triton_ms"].items():
        paired = over["paired"]
        yield (
            f"over raw Triton, window by window, streams: {streams}, ms p50 / p99",
            "≤ 1 / ≤ 5",
            f"{paired['p50']:.1f} / {paired['p99']:.1f}",
        )


def _memory(document: Mapping[str, Any]) -> Iterator[Row]:
    memory = document["rss_kib_per_stream"]
    if memory["idle"] is not None:
        yield "KiB an idle stream (bare gRPC takes about 25 of them)", "≤ 40", f"{memory['idle']:.1f}"
        yield (
            "KiB for each second of an open utterance",
            "≤ 32 beside 64 a stream",
            f"{memory['second_of_open_utterance']:.1f}",
        )
    for frame_ms, seen in _by_length(memory["streaming"]):
        yield (
            f"KiB a stream while 100 talk and are scored, {frame_ms} ms frames",
            "≤ 64, and 32 for each second of an open utterance",
            _spread(seen, 0),
        )


def _overload(document: Mapping[str, Any]) -> Iterator[Row]:
    overload = document.get("overload")
    if overload:
        share = overload["share_of_peak"]["median"]
        yield "goodput at twice the limit, of its peak", "≥ 90 %", f"{share:.0%}"
        yield (
            "finals of admitted streams, then",
            "all",
            f"{overload['delivered']} of {overload['declared']}",
        )


def _by_length(of_frames: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Figures by frame size, the shortest frames first."""
    return sorted(of_frames.items(), key=lambda one: int(one[0]))


def _spread(figure: Mapping[str, Any], digits: int) -> str:
    middle, least, most = (f"{figure[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{middle} ({least}-{most})"
