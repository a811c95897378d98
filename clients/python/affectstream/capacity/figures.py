"""What the bench measured: the parts of its latest.json that a cost model needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

Document = Mapping[str, Any]
_DRIVER_LATE_MS: Final = 5.0
KINDS: Final = frozenset({"listen", "service", "recorded"})
"""Kinds of load: nothing scored, scored in the process, scored by a server that only remembers."""


class FiguresError(ValueError):
    """A result of the bench that cannot be used."""


@dataclass(frozen=True, slots=True)
class Point:
    """One number of streams that was driven, or several runs of it. Times are ms; None: not measured."""

    kind: str
    streams: int
    frame_ms: int
    share: float
    """Of the server's core."""
    decision_p99: float | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the overload: streams that were let in."""

    name: str
    streams: int
    goodput_per_s: float
    """Finals that their client had within 150 ms of when the deciding sample was due."""
    share: float | None
    client_p99: float | None
    seconds: float = 3.0
    """Of the window."""
    before_s: float = 2.0
    """From the first stream to the window."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one machine and one version."""

    measured: str
    points: tuple[Point, ...]
    overload: tuple[Side, ...]
    streams_per_core: Mapping[str, int]
    """By frame length in ms, as the search for them found."""
    utterances_per_minute: float
    """Of a stream of the bench's talks."""
    hit_share: float
    """Of finals whose score was begun before the endpoint."""
    wasted_share: float
    """Of scores that speech made void."""
    hangover_ms: float
    """From the end of speech to the endpoint, p50."""
    kib_per_stream: float
    """Resident memory, with its share of open utterances."""
    redis_us_per_event: float | None = None
    """Redis' own CPU time (python -m bench.bus)."""
    others_cores: float = 0.0
    """What else the machine did meanwhile, in the worst of all medians."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Figures:
        """What `as_dict` gave."""
        values = dict(values)
        values["points"] = tuple(Point(**one) for one in values["points"])
        values["overload"] = tuple(Side(**one) for one in values["overload"])
        return cls(**values)


def read(path: Path, bus: Path | None = None, overload: Path | None = None) -> Figures:
    """Those of a latest.json, of a bus.json, and of an overload taken by itself. Raises `FiguresError`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if overload:
            document["overload"] = json.loads(overload.read_text(encoding="utf-8"))["overload"]
        return of_bench(document, json.loads(bus.read_text(encoding="utf-8")) if bus else {})
    except OSError as error:
        what = f"cannot read {error.filename}: {error.strerror}"
        raise FiguresError(f"{what}; python -m bench and python -m bench.bus make such files") from None
    except ValueError as error:
        raise FiguresError(f"{path}: not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise FiguresError(f"{path}: not a result of python -m bench: {error!r}") from None


def of_bench(document: Document, bus: Document) -> Figures:
    """The parts of a latest.json. Raises `FiguresError` where a part was not measured."""
    points = (*_configurations(document), *_steps(document))
    if missing := sorted(KINDS - {point.kind for point in points}):
        raise FiguresError(
            f"it has no {' and no '.join(missing)} rows: python -m bench without --streams measures all kinds"
        )
    one = next(one for one in document["configurations"] if (one["kind"], one["frame_ms"]) == ("service", 20))
    hits, misses = (one[f"final_lag_{name}_ms"]["count"] for name in ("hit", "miss"))
    audio_s = one["streams"] * one["seconds"] * one["runs"]
    versions = document["versions"]
    return Figures(
        measured=f"{document['date'][:10]}, commit {versions['commit']}, a core of an {versions['cpu']}, "
        f"Python {versions['python']}, `{document['command'].partition(' --output')[0]}`",
        points=points,
        overload=tuple(_sides(document.get("overload") or {})),
        streams_per_core={
            str(search["frame_ms"]): search["streams"]
            for search in document.get("searches") or ()
            if (search["kind"], search["processes"]) == ("recorded", 1)
        },
        utterances_per_minute=round(one["decision_lag_ms"]["count"] * 60 / audio_s, 2),
        hit_share=round(hits / max(hits + misses, 1), 4),
        wasted_share=one["speculation"]["wasted_share"],
        hangover_ms=one["hangover_ms"]["p50"],
        kib_per_stream=one["rss_kib_per_stream"]["median"],
        redis_us_per_event=bus.get("redis_us_per_event"),
        others_cores=max(one["others_cpu_share"]["median"] for one in document["configurations"]),
    )


def _configurations(document: Document) -> Iterator[Point]:
    for one in document["configurations"]:
        if one["kind"] in KINDS and one.get("processes", 1) == 1:
            yield Point(
                one["kind"],
                one["streams"],
                one["frame_ms"],
                one["server_cpu_share"]["median"],
                _on_time(one["decision_lag_ms"]["p99"], one["driver"]["lateness_ms"]["p99"]),
            )


def _steps(document: Document) -> Iterator[Point]:
    for search in document.get("searches") or ():
        if search["kind"] in KINDS and search["processes"] == 1:
            for step in search["steps"]:
                share = round(step["server_cpu_share"], 4)
                late_ms = _on_time(step["decision_lag_p99_ms"], step["driver_late_p99_ms"])
                yield Point(search["kind"], step["streams"], search["frame_ms"], share, late_ms)


def _on_time(lag_ms: float | None, driver_late_ms: float | None) -> float | None:
    """A lag, where it is the server's: where the driver was late, it holds that too."""
    return lag_ms if driver_late_ms is not None and driver_late_ms <= _DRIVER_LATE_MS else None


def _sides(overload: Document) -> Iterator[Side]:
    if not overload:
        return
    window = {name: overload[name] for name in ("seconds", "before_s") if name in overload}
    for name, label in (("full", "at the limit"), ("twice", "twice the limit")):
        yield Side(
            label,
            overload["capacity"],
            overload["goodput_per_s"][name]["median"],
            overload.get("server_cpu_share", {}).get(name, {}).get("median"),
            overload.get("client_lag_ms", {}).get(name, {}).get("p99"),
            **window,
        )
    if admitted := overload.get("admit_all"):
        yield Side(
            "twice, all let in",
            2 * overload["capacity"],
            admitted["goodput_per_s"]["median"],
            admitted.get("server_cpu_share", {}).get("median"),
            admitted.get("client_lag_ms", {}).get("p99"),
            **window,
        )
