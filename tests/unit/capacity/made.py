"""Made-up figures: of a core whose costs are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

from affectstream.capacity.core import Costs, simulate
from affectstream.capacity.figures import Figures, Point, Side
from affectstream.capacity.fit import load_of

COSTS: Final = Costs(wake_s=8e-5, message_s=3e-5, block_s=5e-5, embedded_s=3e-3, request_s=1e-3)
_SEEN: Final = (
    ("listen", 100, 20),
    ("listen", 100, 100),
    ("service", 50, 20),
    ("service", 100, 20),
    ("service", 100, 100),
    ("recorded", 130, 20),
    ("recorded", 200, 100),
)
_BARE: Final = Figures(
    measured="2026-01-01, made up",
    points=(),
    overload=(Side("at the limit", 120, 36.0, 0.7, 25.0), Side("twice, all let in", 400, 2.0, 1.0, 4_000.0)),
    streams_per_core={"20": 120, "100": 250},
    utterances_per_minute=18.0,
    hit_share=0.75,
    wasted_share=0.2,
    hangover_ms=160.0,
    kib_per_stream=64.0,
    redis_us_per_event=50.0,
)


@cache
def made() -> Figures:
    """As a bench would have measured them on a core with `COSTS`."""

    def share(kind: str, streams: int, frame_ms: int) -> float:
        return simulate(load_of(_BARE, COSTS, kind, streams, frame_ms), COSTS, seed=9).share

    return replace(_BARE, points=tuple(Point(*one, share(*one)) for one in _SEEN))
