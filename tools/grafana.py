"""Grafana's dashboards from short descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

FOLDER: Final = Path(__file__).resolve().parents[1] / "deploy/grafana/dashboards"
WIDTH: Final = 24
"""Columns of a dashboard."""
_METRICS: Final = {"type": "prometheus", "uid": "prometheus"}
_TRACES: Final = {"type": "jaeger", "uid": "jaeger"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. Each query has its legend; with ``exemplars`` its points lead to traces."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "heatmap", "traces"] = "timeseries"
    width: int = 8
    height: int = 8
    text: str = ""
    exemplars: bool = False
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Panels from left to right, a new line where the columns are full."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    variables: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"{self.name}.json"

    def rendered(self) -> str:
        """Grafana's JSON."""
        shown: list[dict[str, Any]] = []
        x = y = 0
        for number, panel in enumerate(self.panels, 1):
            if x + panel.width > WIDTH:
                x, y = 0, y + shown[-1]["gridPos"]["h"]
            shown.append(_panel(panel, number, x, y))
            x += panel.width
        whole = {
            "uid": f"affectstream-{self.name}",
            "title": self.title,
            "tags": ["affectstream"],
            "schemaVersion": 39,
            "editable": False,
            "refresh": "10s",
            "time": {"from": "now-30m", "to": "now"},
            "templating": {"list": [{"name": name, "type": "textbox"} for name in self.variables]},
            "links": [{"type": "dashboards", "tags": ["affectstream"], "title": "Affectstream"}],
            "panels": shown,
        }
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    custom: dict[str, Any] = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {}
    traces = panel.kind == "traces"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _TRACES if traces else _METRICS,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": {"calculate": False, "exemplars": {"color": "red"}} if panel.kind == "heatmap" else {},
        "targets": [
            {"refId": chr(ord("A") + at), "query": query}
            if traces
            else {
                "refId": chr(ord("A") + at),
                "expr": query,
                "legendFormat": legend,
                "exemplar": panel.exemplars,
                "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            }
            for at, (query, legend) in enumerate(panel.queries.items())
        ],
    }


def quantile(share: float, histogram: str, by: str = "") -> str:
    """A percentile of a histogram over the time that one point of the picture stands for."""
    group = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({group}) (rate({histogram}_bucket[$__rate_interval])))"


def rate(counter: str, by: str = "") -> str:
    """Events a second."""
    return f"sum{f' by ({by})' if by else ''} (rate({counter}[$__rate_interval]))"


def mean(total: str, count: str, by: str) -> str:
    """What one of them took, on average."""
    return f"{rate(total, by)} / {rate(count, by)}"
