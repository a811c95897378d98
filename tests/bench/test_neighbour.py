"""The calm tenant's runs to ratios, by hand."""

from __future__ import annotations

from collections import Counter

import pytest
from rich.console import Console

from bench.neighbour import figures, table
from tests.bench.runs import made_run


def test_ratios_are_taken_over_all_and_in_each_round() -> None:
    quiet = [made_run(times_ms=[10] * 99 + [20]), made_run(times_ms=[10] * 99 + [40])]
    flood = [made_run(times_ms=[12] * 99 + [30]), made_run(times_ms=[20] * 99 + [40])]
    found = figures({False: quiet, True: flood}, Counter({"stream RESOURCE_EXHAUSTED": 3}))
    lag = found["client_lag_ms"]
    assert lag["p50"]["rounds"]["runs"] == pytest.approx([1.2, 2.0], rel=0.01)
    assert lag["p50"]["quiet"] == pytest.approx(10, rel=0.01)
    assert lag["count"] == {"quiet": 200, "flood": 200}
    assert found["flood_calls"] == {"stream RESOURCE_EXHAUSTED": 3}
    assert (found["flood"]["declared"], found["flood"]["delivered"]) == (10, 10)


def test_a_refusal_of_the_calm_one_is_a_fault() -> None:
    refused = made_run(faults=["stream 0: RESOURCE_EXHAUSTED: streams"])
    found = figures({False: [made_run()], True: [refused]}, Counter())
    assert found["flood"]["faults"] == ["stream 0: RESOURCE_EXHAUSTED: streams"]


def test_the_table_shows_each_lag() -> None:
    console = Console(record=True, width=120)
    console.print(table(figures({False: [made_run()], True: [made_run()]}, Counter())))
    shown = console.export_text()
    assert shown.count("1.00 (1.00 to 1.00)") == 6
