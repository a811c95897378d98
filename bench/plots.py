"""Pictures of a result, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.histogram import Histogram

_PERCENTS: Final = [*range(100), *(99 + tenth / 10 for tenth in range(1, 10)), 99.95]
_SIZE: Final = (8.0, 4.5)

Figures = Mapping[str, Any]


def draw(document: Figures, folder: Path) -> list[Path]:
    """Draw what was measured into SVG files, and name them."""
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in (("cost", _cost), ("lags", _lags), ("vad", _vad), ("churn", _churn)):
        figure, axes = _canvas()
        if picture(document, axes):
            path = folder / f"{name}.svg"
            figure.savefig(path, bbox_inches="tight")
            drawn.append(path)
        _close(figure)
    return drawn


def _canvas() -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=_SIZE)
    return figure, axes


def _close(figure: Any) -> None:
    from matplotlib import pyplot

    pyplot.close(figure)


def _cost(document: Figures, axes: Any) -> bool:
    rows = [(one["name"], one["cpu_s_per_audio_hour"]) for one in document["configurations"]]
    return _bars(rows, axes)


def _vad(document: Figures, axes: Any) -> bool:
    rows = [(one["name"], one["cpu_s_per_audio_hour"]) for one in document["vad"] if one["installed"]]
    return _bars(rows, axes)


def _bars(rows: Sequence[tuple[str, Figures]], axes: Any) -> bool:
    medians = [one["median"] for _, one in rows]
    ends = [[one["median"] - one["min"] for _, one in rows], [one["max"] - one["median"] for _, one in rows]]
    axes.barh([name for name, _ in rows], medians, xerr=ends)
    axes.invert_yaxis()
    axes.set_xlabel("CPU-s for an hour of audio: median, least and most of the runs")
    return bool(rows)


def _lags(document: Figures, axes: Any) -> bool:
    found = [one for one in document["configurations"] if one["kind"] == "service"]
    for one in found:
        for lag in ("decision_lag_ms", "final_lag_ms"):
            histogram = Histogram.decode(one[lag]["histogram"])
            if len(histogram):
                axes.plot(
                    _PERCENTS,
                    [histogram.percentile_ms(percent) for percent in _PERCENTS],
                    label=f"{lag}, {one['streams']} × {one['frame_ms']} ms",
                )
    axes.set_yscale("log")
    axes.set_xlabel("percentile")
    axes.set_ylabel("ms")
    if found:
        axes.legend()
    return bool(found)


def _churn(document: Figures, axes: Any) -> bool:
    samples = (document.get("memory") or {}).get("churn", {}).get("samples", [])
    axes.plot([at / 60 for at, _ in samples], [size / 1_024 for _, size in samples])
    axes.set_xlabel("minutes of calls that come and go")
    axes.set_ylabel("resident memory, MiB")
    axes.set_ylim(bottom=0)
    return bool(samples)
