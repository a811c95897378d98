"""Speech as samples, and windows of it: what both sides of the overhead are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.talks import samples_of


def load(paths: Sequence[Path]) -> list[NDArray[np.int16]]:
    """The first channel of each file, int16 at 16 kHz. Raises `NoTalks`."""
    return [samples_of(path) for path in paths]


def window(talk: NDArray[np.int16], start: int, end: int) -> NDArray[np.int16]:
    """Samples ``start`` to ``end`` of a talk that is repeated without end."""
    return talk.take(np.arange(start, end), mode="wrap")
