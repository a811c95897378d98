"""Speech as samples, and windows of it: what both sides of the overhead are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from bench.talks import NoTalks


def load(paths: Sequence[Path]) -> list[NDArray[np.int16]]:
    """The first channel of each file, int16 at 16 kHz. Raises `NoTalks`."""
    talks = []
    for path in paths:
        try:
            audio, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise NoTalks(f"{path}: cannot be read: {error}") from None
        samples = np.ascontiguousarray(audio[:, 0])
        talks.append(
            samples if rate_hz == SAMPLE_RATE_HZ else soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
        )
    return talks


def window(talk: NDArray[np.int16], start: int, end: int) -> NDArray[np.int16]:
    """Samples ``start`` to ``end`` of a talk that is repeated without end."""
    return talk.take(np.arange(start, end), mode="wrap")
