"""Writes the tables of docs/telemetry.md from the names in the code: `python -m tools.metrics_table`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from affectstream_server.telemetry.names import METRICS, Metric

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/telemetry.md"
_PART: Final = re.compile(r"(?<=<!-- metrics -->\n).*(?=<!-- /metrics -->)", re.DOTALL)


def rendered(page: str) -> str:
    """The page with its table as the code has it."""
    return _PART.sub(lambda _: table(), page)


def table() -> str:
    """One row a metric."""
    rows = [_row(metric) for metric in METRICS]
    return "".join(["| metric | labels | what |\n", "| --- | --- | --- |\n", *rows])


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    kind = f"{metric.kind}, exemplars" if metric.exemplars else metric.kind
    return f"| `{metric.exposed}` ({kind}) | {labels} | {metric.text} |\n"


if __name__ == "__main__":
    sys.exit(PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8") and 0)
