"""Costs are found again from what a core with known costs was seen to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from affectstream.capacity.check import overload, rows
from affectstream.capacity.core import Costs
from affectstream.capacity.figures import FiguresError
from affectstream.capacity.fit import fit
from tests.unit.capacity.made import COSTS, made

pytestmark = pytest.mark.xdist_group("capacity")


@pytest.fixture(scope="module")
def found() -> Costs:
    return fit(made())


def test_known_costs_are_found(found: Costs) -> None:
    each = COSTS.wake_s + COSTS.message_s  # mostly they come together, and are hard to tell apart
    assert found.wake_s + found.message_s == pytest.approx(each, rel=0.1)
    assert found.block_s == pytest.approx(COSTS.block_s, rel=0.15)
    assert found.embedded_s == pytest.approx(COSTS.embedded_s, rel=0.15)
    assert found.request_s == pytest.approx(COSTS.request_s, rel=0.4)


def test_the_shares_are_explained(found: Costs) -> None:
    shares = [row for row in rows(made(), found) if row.figure == "share of the core"]
    assert len(shares) == len(made().points)
    assert all(abs(row.error) < 0.05 for row in shares)
    assert [row.measured for row in rows(made(), found) if row.figure == "streams a core"] == [120, 250]


def test_the_overload_is_predicted_side_by_side(found: Costs) -> None:
    figures = overload(made(), found)
    assert [row.figure for row in figures[:3]] == [
        "finals a second in time",
        "share of the core",
        "client_lag_ms p99",
    ]
    assert figures[0].predicted == pytest.approx(36.0)  # 120 streams with 18 utterances a minute, all in time
    assert figures[0].error == pytest.approx(0.0)
    assert figures[3].predicted < 36.0  # 400 streams, and the core is full
    assert figures[5].predicted > 1_000


def test_one_kind_of_point_says_too_little() -> None:
    few = replace(made(), points=made().points[:1])
    with pytest.raises(FiguresError, match="one number of streams"):
        fit(few)
