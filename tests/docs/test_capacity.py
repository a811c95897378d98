"""docs/capacity.md and what `affectstream capacity` ships are made from the same figures: make capacity."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import pytest

from affectstream.capacity.fit import fit
from affectstream.capacity.shipped import shipped, to_json
from tools.capacity.page import rendered
from tools.capacity.paths import PAGE, PICTURE, SHIPPED
from tools.capacity.picture import draw

pytestmark = pytest.mark.xdist_group("capacity")  # one process plays what all of them ask of


def test_the_page_is_as_the_figures_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "python -m tools.capacity --again"


def test_the_picture_is_as_the_figures_are(tmp_path: Path) -> None:
    draw(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_bytes() == PICTURE.read_bytes(), "python -m tools.capacity --again"


def test_the_costs_are_those_of_the_figures() -> None:
    figures, costs = shipped()
    assert to_json(figures, costs) == SHIPPED.read_text(encoding="utf-8")
    assert astuple(fit(figures)) == pytest.approx(astuple(costs), rel=0.01, abs=1e-8)


def test_a_page_without_a_place_for_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="sizes: begin"):
        rendered("<!-- figures: begin --><!-- figures: end -->")
