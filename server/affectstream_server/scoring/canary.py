"""A known sound with a known answer: a model that does not give it may not serve.

A dead or corrupting backend answers "ready" to every health check there is. Its canary shows it.
This module needs numpy alone, so that a Triton Python backend can afford it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import METADATA_PREFIX, SAMPLE_RATE_HZ

TOLERANCE: Final = 0.02
"""How far a probability or a dimension may be from the known answer: bf16 stays within it."""

_VOICE_HZ: Final = (110, 165)


class CanaryFailed(Exception):
    """The model's answer to the known sound is not the known one; the message says how."""


def canary_audio() -> NDArray[np.int16]:
    """One second of a voice-like sound, int16 ``[16000]``, the same on every machine: integers only.

    A sawtooth whose pitch rises, in four syllables, with some noise.
    """
    time = np.arange(SAMPLE_RATE_HZ, dtype=np.int64)
    low, high = _VOICE_HZ
    phase = time * low * SAMPLE_RATE_HZ + time * time * (high - low) // 2
    second = SAMPLE_RATE_HZ * SAMPLE_RATE_HZ
    saw = phase % second * 2 - second
    syllable = np.abs(time % 4_000 - 2_000)  # 2000 at the ends, 0 in the middle
    noise = (time * 1_103_515_245 + 12_345) % 65_536 // 32 - 1_024
    voice = saw // (second // 9_000) * (2_000 - syllable) // 2_000
    audio: NDArray[np.int16] = (voice + noise * (2_000 - syllable) // 4_000).astype(np.int16)
    return audio


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of the canary."""

    probabilities: tuple[float, ...]
    dimensions: tuple[float, ...]

    @classmethod
    def of(cls, logits: NDArray[np.float32], dimensions: NDArray[np.float32]) -> Answer:
        """From tensors ``[labels]`` and ``[dimensions]``."""
        shares = np.exp(logits.astype(np.float64) - logits.max())
        return cls(tuple((shares / shares.sum()).tolist()), tuple(dimensions.astype(np.float64).tolist()))

    def compare(self, known: Answer) -> None:
        """Raises `CanaryFailed` unless this is the ``known`` answer within `TOLERANCE`."""
        for what, got, expected in (
            ("probabilities", self.probabilities, known.probabilities),
            ("dimensions", self.dimensions, known.dimensions),
        ):
            same = len(got) == len(expected) and np.allclose(got, expected, rtol=0, atol=TOLERANCE)
            if not same:
                raise CanaryFailed(
                    f"the known sound gave {what} {_short(got)}, expected {_short(expected)} ±{TOLERANCE}"
                )

    def to_json(self) -> str:
        """As it stands in a model's configuration, six digits."""
        return json.dumps(
            {"probabilities": _short(self.probabilities), "dimensions": _short(self.dimensions)}
        )


def known_answer(parameters: Mapping[str, str], version: str) -> Answer | None:
    """The answer that a configuration's ``parameters`` hold for a version; None where they hold none.

    Raises `CanaryFailed` for one that cannot be read.
    """
    text = parameters.get(f"{METADATA_PREFIX}canary.{version}")
    if text is None:
        return None
    try:
        content = json.loads(text)
        return Answer(tuple(map(float, content["probabilities"])), tuple(map(float, content["dimensions"])))
    except (ValueError, TypeError, KeyError):
        raise CanaryFailed(f"{METADATA_PREFIX}canary.{version} of the configuration is no answer") from None


def _short(values: tuple[float, ...]) -> list[float]:
    return [round(value, 6) for value in values]
