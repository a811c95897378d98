"""What is taken of a latest.json, and of one that lacks something."""

from __future__ import annotations

import json
from typing import Any

import pytest

from affectstream.capacity.figures import Figures, FiguresError, of_bench
from bench import report
from bench.overload import figures as overload
from bench.scenario import Kind, Scenario
from tests.bench.runs import made_run

VERSIONS = {"python": "3.11", "cpu": "CPU", "cores": "2", "commit": "abc"}
STEP = {
    "streams": 120,
    "server_cpu_share": 0.6,
    "decision_lag_p99_ms": 14.0,
    "driver_late_p99_ms": 2.0,
}


def document(*kinds: Kind, late_ms: int = 1) -> dict[str, Any]:
    made = report.Report("python -m bench", "a talk", "not pinned", VERSIONS)
    for kind in kinds:
        made.add(Scenario(100, 20, seconds=5.0, kind=kind), made_run(cpu_s=2.0, late_ms=late_ms))
    search = {"kind": "recorded", "frame_ms": 20, "processes": 1, "streams": 120}
    made.parts["searches"] = [search | {"steps": [STEP, STEP | {"driver_late_p99_ms": 40.0}]}]
    full, twice, admitted = (Scenario(*one, max_streams=100) for one in ((100, 20), (200, 20), (200, 40)))
    made.parts["overload"] = overload({full: [made_run()], twice: [made_run()], admitted: [made_run()]})
    return made.document()


def test_points_are_those_of_rounds_and_of_searches() -> None:
    found = of_bench(document("listen", "service", "floor"), {"redis_us_per_event": 65.0})
    assert [(one.kind, one.streams, one.share) for one in found.points] == [
        ("listen", 100, 0.4),
        ("service", 100, 0.4),
        ("recorded", 120, 0.6),
        ("recorded", 120, 0.6),
    ]
    assert found.streams_per_core == {"20": 120}
    assert found.utterances_per_minute == pytest.approx(3 * 60 / 500, abs=0.01)
    assert found.redis_us_per_event == 65.0
    again = json.loads(json.dumps(found.as_dict()))
    assert Figures.from_dict(again) == found


def test_a_lag_is_none_of_the_servers_where_the_driver_was_late() -> None:
    late = of_bench(document("listen", "service", late_ms=30), {})
    assert [one.decision_p99 for one in late.points] == [None, None, 14.0, None]
    on_time = of_bench(document("listen", "service"), {})
    assert None not in [one.decision_p99 for one in on_time.points[:3]]


def test_each_side_of_the_overload_is_taken() -> None:
    sides = of_bench(document("listen", "service"), {}).overload
    assert [(one.name, one.streams) for one in sides] == [
        ("at the limit", 100),
        ("twice the limit", 100),
        ("twice, all let in", 200),
    ]
    assert all(one.client_p99 and one.share and one.seconds == 5.0 and one.before_s == 2.0 for one in sides)


def test_what_is_missing_is_named_and_what_measures_it() -> None:
    with pytest.raises(FiguresError, match=r"no listen rows: python -m bench without --streams"):
        of_bench(document("service"), {})
    part = document("listen", "service")
    del part["searches"]
    with pytest.raises(FiguresError, match="no recorded rows"):
        of_bench(part, {})
