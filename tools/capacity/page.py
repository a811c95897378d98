"""The parts of docs/capacity.md that are made from figures, between their markers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from affectstream.capacity import check, text
from affectstream.capacity.assumptions import DEFAULTS, GPUS
from affectstream.capacity.core import Costs
from affectstream.capacity.estimate import Plan, estimate
from affectstream.capacity.figures import Figures
from affectstream.capacity.shipped import shipped
from tools.capacity.paths import PAGE

CALLS = (1_000, 100_000, 10_000_000)
PLAN = Plan(frame_ms=100, gpu=GPUS["h100"])
_PART = "<!-- {0}: begin -->\n{1}\n<!-- {0}: end -->"


def parts(figures: Figures, costs: Costs) -> Mapping[str, str]:
    """Markdown by marker."""
    found = [estimate(calls, figures, costs, PLAN) for calls in CALLS]
    again = [estimate(2 * calls, figures, costs, PLAN) for calls in CALLS]
    rows = check.rows(figures, costs)
    shares = [row for row in rows if row.figure == "share of the core"]
    lags = [row for row in rows if row.figure != "share of the core"]
    return {
        "sizes": text.markdown(text.estimates(found)),
        "doubling": "\n".join(f"- {text.doubled(one, two)}" for one, two in zip(found, again, strict=True)),
        "overload": text.markdown(text.checks(check.overload(figures, costs))),
        "fit": text.markdown(text.checks([*shares, *lags])),
        "costs": costs_said(costs),
        "figures": f"Figures: {figures.measured}. {redis_said(figures)} {text.busy_said(figures)}".strip(),
        "assumptions": text.markdown(text.assumptions(DEFAULTS)),
    }


def costs_said(costs: Costs) -> str:
    """What the fit found, in µs."""
    return text.markdown(
        [
            [
                "of a core, µs",
                "a wake-up",
                "a message",
                "32 ms of audio",
                "an embedded score",
                "a score elsewhere",
            ],
            [
                "",
                *(
                    f"{1e6 * value:.0f}"
                    for value in (
                        costs.wake_s,
                        costs.message_s,
                        costs.block_s,
                        costs.embedded_s,
                        costs.request_s,
                    )
                ),
            ],
        ]
    )


def redis_said(figures: Figures) -> str:
    """What an event costs Redis, or that nobody measured it."""
    if figures.redis_us_per_event is None:
        return "Redis was not measured, and is left out."
    return f"An event takes {figures.redis_us_per_event:g} µs of Redis' core (`python -m bench.bus`)."


def rendered(page: str) -> str:
    """The page with its parts made anew. Raises `ValueError` where a marker is missing."""
    for name, part in parts(*shipped()).items():
        between = re.compile(rf"<!-- {name}: begin -->.*<!-- {name}: end -->", re.DOTALL)
        if not between.search(page):
            raise ValueError(f"no <!-- {name}: begin --> … <!-- {name}: end --> in the page")
        page = between.sub(lambda _, name=name, part=part: _PART.format(name, part), page)  # type: ignore[misc]
    return page


def write() -> None:
    """Make the page's parts anew."""
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
