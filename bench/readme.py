"""The README's table of speed, from a result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

BEGIN: Final = "<!-- bench: begin -->"
END: Final = "<!-- bench: end -->"
_BETWEEN: Final = re.compile(re.escape(BEGIN) + r".*" + re.escape(END), re.DOTALL)
_VAD: Final = (
    ("ours-stages", "Affectstream: decode, detect, segment"),
    ("ours", "Affectstream, with its sessions, messages and events"),
    ("batched", "Silero, one batch a tick, nothing else"),
    ("livekit-silero", "LiveKit Agents, Silero plugin"),
    ("livekit-built-in", "LiveKit Agents, built in"),
    ("pipecat", "Pipecat, VADProcessor"),
)


class NoMarkers(Exception):
    """The page has no place for the table."""


def between(page: str) -> str:
    """What stands between the markers. Raises `NoMarkers`."""
    found = _BETWEEN.search(page)
    if found is None:
        raise NoMarkers(f"no {BEGIN} … {END} in the page")
    return found[0].removeprefix(BEGIN).removesuffix(END).strip()


def write(table: str, path: Path) -> None:
    """Put a table between the markers of a page. Raises `NoMarkers`."""
    page = path.read_text(encoding="utf-8")
    between(page)
    text = f"{BEGIN}\n{table}\n{END}"
    path.write_text(_BETWEEN.sub(lambda _: text, page), encoding="utf-8")


def render(document: Mapping[str, Any]) -> str:
    """The table as Markdown."""
    versions = document["versions"]
    lines = [
        f"{versions['cores']} cores of an {versions['cpu']}, Python {versions['python']}, "
        f"`{document['command']}`, {document['date'][:10]}, commit {versions['commit']}:",
        "",
        "| 100 streams at real time | CPU-s an audio hour | × bare gRPC + batched VAD | "
        "endpoint declared after its audio was due, p50 / p99 ms | final after that, p50 / p99 ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, label in (("listen", "always on, nothing scored"), ("service", "everything, scored ahead")):
        for one in _at_100(document, kind):
            scored = kind == "service"
            lines.append(
                f"| {label}, {one['frame_ms']} ms frames | {_median(one['cpu_s_per_audio_hour'])} | "
                f"{'-' if scored else _median(one['always_on_ratio'], 2)} | {_lag(one['decision_lag_ms'])} | "
                f"{_lag(one['final_lag_ms']) if scored else '-'} |"
            )
    for kind, label in (("floor", "bare grpc.aio"), ("websocket", "bare WebSocket, aiohttp")):
        lines += [
            f"| {label}, {one['frame_ms']} ms frames | {_median(one['cpu_s_per_audio_hour'])} | - | - | - |"
            for one in _at_100(document, kind)
        ]
    return "\n".join([*lines, *_vad(document)])


def _vad(document: Mapping[str, Any]) -> list[str]:
    rows = {(one["row"], one["streams"]): one for one in document["vad"] if one["installed"]}
    if not rows:
        return []
    lines = [
        "",
        "| finding utterances, without a network | streams | CPU-s an audio hour |",
        "| --- | --- | --- |",
    ]
    for name, label in _VAD:
        for (row, streams), one in sorted(rows.items(), key=lambda item: item[0][1]):
            if row == name:
                lines.append(f"| {label} | {streams} | {_median(one['cpu_s_per_audio_hour'])} |")
    return lines


def _at_100(document: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    found = [
        one
        for one in document["configurations"]
        if (one["kind"], one["streams"], one.get("processes", 1)) == (kind, 100, 1)
    ]
    return sorted(found, key=lambda one: int(one["frame_ms"]))


def _median(figure: Mapping[str, Any] | None, digits: int = 1) -> str:
    return f"{figure['median']:.{digits}f}" if figure else "-"


def _lag(figure: Mapping[str, Any]) -> str:
    if not figure["count"]:
        return "-"
    return f"{figure['p50']:.1f} / {figure['p99']:.1f}"
