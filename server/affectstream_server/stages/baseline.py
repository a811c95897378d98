"""Baseline: how far an utterance lies from what this speaker usually sounds like in this session.

One mean and one spread for each dimension, of finals with status OK. Levels of different models cannot be
compared: each model that answers in a session has its own.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import Final

from affectstream.contract import DIMENSIONS
from affectstream.v1 import affect_pb2 as pb

LEAST_UTTERANCES: Final = 4
"""In a baseline that is spoken of. Chosen with the two below: docs/baseline.md."""
LEAST_SPREAD: Final = 0.05
"""Standard deviations are at least this: a few utterances that are alike by chance make none remarkable."""
OUTLIER: Final = 2.5
"""An utterance further off than so many spreads counts as one that far off."""
MEMORY: Final = 50
"""From so many utterances on the older ones fade: a speaker's usual changes in a long call."""
MOST_MODELS: Final = 4
"""Of one channel whose baselines are kept; the one longest unused goes."""
_MAD_TO_SPREAD: Final = 1.4826
"""Of a normal distribution: its standard deviation over its median absolute deviation."""


class Running:
    """Mean and spread of one quantity, by Welford's method; one outlier moves neither far."""

    def __init__(
        self,
        *,
        least: int = LEAST_UTTERANCES,
        floor: float = LEAST_SPREAD,
        outlier: float = OUTLIER,
        memory: int = MEMORY,
    ) -> None:
        self._least = least
        self._floor = floor
        self._outlier = outlier
        self._memory = memory
        self._first: list[float] = []
        self._mean = 0.0
        self._squares = 0.0
        self._weight = 0
        self.count = 0
        """Values so far."""

    @property
    def spread(self) -> float:
        """The standard deviation, at least the floor."""
        squares = self._squares / (self._weight - 1) if self._weight > 1 else 0.0
        return max(self._floor, math.sqrt(squares))

    def z_score(self, value: float) -> float | None:
        """How far off a value is, in spreads; None while there are too few."""
        return (value - self._mean) / self.spread if self._weight else None

    def add(self, value: float) -> None:
        """Take a value in."""
        self.count += 1
        if self._weight:
            reach = self._outlier * self.spread
            self._take(min(max(value, self._mean - reach), self._mean + reach))
            return
        self._first.append(value)
        if len(self._first) >= self._least:
            self._begin()

    def _begin(self) -> None:
        """There are enough: those that are far from their median count as less far."""
        middle = statistics.median(self._first)
        deviation = statistics.median(abs(value - middle) for value in self._first)
        reach = self._outlier * max(self._floor, _MAD_TO_SPREAD * deviation)
        for value in self._first:
            self._take(min(max(value, middle - reach), middle + reach))
        self._first.clear()

    def _take(self, value: float) -> None:
        if self._weight >= self._memory:
            self._squares *= (self._weight - 1) / self._weight
        else:
            self._weight += 1
        before = value - self._mean
        self._mean += before / self._weight
        self._squares += before * (value - self._mean)


@dataclass(slots=True)
class _Speaker:
    """One channel as one model hears it."""

    running: dict[str, Running] = field(default_factory=lambda: {name: Running() for name in DIMENSIONS})
    before: dict[str, float] = field(default_factory=dict)
    utterances: int = 0


class Baselines:
    """The baselines of one session."""

    def __init__(self) -> None:
        self._channels: dict[int, dict[tuple[str, str], _Speaker]] = {}

    def clear(self) -> None:
        """Consent was withdrawn: forget everything."""
        self._channels.clear()

    def compare(self, channel: int, final: pb.AffectEvent) -> None:
        """Say in a final event how it differs from those before it, then count it in. Only where it is OK."""
        if final.status != pb.AFFECT_STATUS_OK:
            return
        speaker = self._speaker(channel, final.model)
        if speaker.utterances:
            final.change.utterances = speaker.utterances
        speaker.utterances += 1
        for name in DIMENSIONS:
            if not final.dimensions.HasField(name):
                continue
            level: float = getattr(final.dimensions, name)
            running = speaker.running[name]
            if (z_score := running.z_score(level)) is not None:
                setattr(final.change, name, z_score)
            if name in speaker.before:
                setattr(final.change, f"{name}_step", level - speaker.before[name])
            running.add(level)
            speaker.before[name] = level

    def _speaker(self, channel: int, model: pb.Model) -> _Speaker:
        models = self._channels.setdefault(channel, {})
        key = (model.name, model.version)
        found = models.pop(key, None) or _Speaker()
        models[key] = found  # the last is the one used last
        if len(models) > MOST_MODELS:
            del models[next(iter(models))]
        return found
