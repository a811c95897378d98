"""Polar: valence and arousal as an angle and a distance from the middle."""

from __future__ import annotations

import math
from typing import Final

from affectstream.v1 import affect_pb2 as pb

_MIDDLE: Final = 0.5
_LARGEST: Final = math.hypot(_MIDDLE, _MIDDLE)
_OCTANT: Final = 45.0
_JUST_BELOW_WHOLE: Final = 359.999
"""An angle that a float rounds up to 360 is none."""


def add_polar(dimensions: pb.Dimensions) -> None:
    """Say both as angle, intensity and octant, where there are both."""
    if not (dimensions.HasField("valence") and dimensions.HasField("arousal")):
        return
    right, up = dimensions.valence - _MIDDLE, dimensions.arousal - _MIDDLE
    angle = min(math.degrees(math.atan2(up, right)) % 360.0, _JUST_BELOW_WHOLE)
    dimensions.polar.angle_degrees = angle
    dimensions.polar.intensity = min(1.0, math.hypot(right, up) / _LARGEST)
    dimensions.polar.octant = int(angle // _OCTANT) + 1
