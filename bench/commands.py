"""What is done with results: compare two, write the README's table, draw them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench import plots, readme, report, wanted

_ROOT: Final = Path(__file__).resolve().parent.parent
LATEST: Final = _ROOT / "bench/results/latest.json"
PUBLISHED: Final = _ROOT / "bench/published.json"
"""The result behind the README's table, with its raw histograms."""


def leaves(figures: Any, path: tuple[str, ...] = ()) -> dict[str, float]:
    """Numbers of a result by their place; of a figure with runs, its median."""
    if isinstance(figures, Mapping):
        if "median" in figures:
            return {" · ".join(path): float(figures["median"])}
        found: dict[str, float] = {}
        for key, value in figures.items():
            found |= leaves(value, (*path, str(key)))
        return found
    if isinstance(figures, int | float) and not isinstance(figures, bool):
        return {" · ".join(path): float(figures)}
    return {}


def named(document: Mapping[str, Any]) -> dict[str, float]:
    """The figures of latest.json that have a name."""
    return leaves({key: document[key] for key in NAMED if key in document})


NAMED: Final = (
    "cpu_s_per_audio_hour",
    "streams_per_core",
    "decision_lag_ms",
    "final_lag_ms",
    "overhead_over_triton_ms",
    "rss_kib_per_stream",
    "loop_lag_ms_p99",
)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def compare(arguments: Sequence[str]) -> int:
    """Two results, figure by figure."""
    parser = argparse.ArgumentParser(prog="python -m bench compare", description=compare.__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    args = parser.parse_args(arguments)
    before, after = named(_read(args.before)), named(_read(args.after))
    shown = Table("figure", args.before.name, args.after.name, "ratio")
    for column in shown.columns[1:]:
        column.justify = "right"
    for name in sorted(before.keys() | after.keys()):
        values = [side.get(name) for side in (before, after)]
        old, new = values
        ratio = f"{new / old:.2f}" if old and new is not None else "-"
        shown.add_row(name, *("-" if value is None else f"{value:g}" for value in values), ratio)
    Console(highlight=False).print(shown)
    return 0


def write_readme(arguments: Sequence[str]) -> int:
    """Publish a result: the tables of the README and of docs/performance.md, and itself beside the code."""
    parser = argparse.ArgumentParser(prog="python -m bench readme", description=write_readme.__doc__)
    parser.add_argument("result", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--readme", type=Path, default=_ROOT / "README.md")
    parser.add_argument("--page", type=Path, default=_ROOT / "docs/performance.md")
    parser.add_argument("--kept", type=Path, default=PUBLISHED, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        document = _read(args.result)
        if not document["passed"]:
            sys.stderr.write(f"bench readme: {args.result}: its run failed\n")
            return 1
        readme.write(readme.render(document), args.readme)
        readme.write(wanted.render(document), args.page)
        report.write(document, args.kept)
    except (OSError, KeyError, readme.NoMarkers) as error:
        sys.stderr.write(f"bench readme: {error}\n")
        return 2
    return 0


def draw(arguments: Sequence[str]) -> int:
    """Draw a result."""
    parser = argparse.ArgumentParser(prog="python -m bench plots", description=draw.__doc__)
    parser.add_argument("result", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--folder", type=Path, default=_ROOT / "bench/results")
    args = parser.parse_args(arguments)
    for path in plots.draw(_read(args.result), args.folder):
        sys.stdout.write(f"{path}\n")
    return 0


COMMANDS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "compare": compare,
    "readme": write_readme,
    "plots": draw,
}
