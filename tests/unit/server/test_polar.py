"""Polar form: eight directions around the middle, and how far."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.polar import add_polar


def polar(valence: float, arousal: float) -> pb.PolarAffect:
    dimensions = pb.Dimensions(valence=valence, arousal=arousal)
    add_polar(dimensions)
    return dimensions.polar


@pytest.mark.parametrize("octant", range(1, 9))
def test_octants_go_round_from_pleasant_to_excited(octant: int) -> None:
    middle = math.radians(45 * octant - 22.5)
    told = polar(0.5 + 0.3 * math.cos(middle), 0.5 + 0.3 * math.sin(middle))
    assert told.octant == octant
    assert told.angle_degrees == pytest.approx(45 * octant - 22.5, abs=0.01)
    assert told.intensity == pytest.approx(0.3 / math.sqrt(0.5), abs=1e-5)


def test_corners_are_the_farthest_and_the_middle_is_no_direction() -> None:
    assert polar(1, 1).intensity == pytest.approx(1)
    assert polar(0, 1).angle_degrees == pytest.approx(135)
    assert (polar(0.5, 0.5).intensity, polar(0.5, 0.5).octant) == (0, 1)


@given(st.floats(0, 1), st.floats(0, 1))
def test_it_is_in_range_everywhere(valence: float, arousal: float) -> None:
    told = polar(valence, arousal)
    assert 0 <= told.angle_degrees < 360
    assert 0 <= told.intensity <= 1
    assert 1 <= told.octant <= 8


def test_without_valence_there_is_none() -> None:
    dimensions = pb.Dimensions(arousal=0.9, dominance=0.1)
    add_polar(dimensions)
    assert not dimensions.HasField("polar")
