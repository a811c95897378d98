"""A tone policy: rules that say what holds, for how long, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from affectstream.contract import DIMENSIONS
from affectstream.tone.reading import CHANGES, STEPS, Kind, Reading

PROBABILITY: Final = "probability"
TREND: Final = "_trend"
TRENDS: Final = tuple(f"{name}{TREND}" for name in (PROBABILITY, *DIMENSIONS))
VALUES: Final = (PROBABILITY, *DIMENSIONS, *CHANGES, *STEPS, *TRENDS)
"""What a condition can look at."""

STYLE_TAGS: Final = {
    "acknowledge": "take up what was said before anything else",
    "brief": "few words",
    "calm": "no exclamation marks, no urgency",
    "clear": "one thing at a time, no jargon",
    "friendly": "as one speaks to a guest",
    "gentle": "soft wording",
    "lively": "with energy",
    "matter-of-fact": "facts, no feelings",
    "offer-help": "say what can be done next",
    "patient": "leave room, repeat if asked",
    "plain": "no ornament",
    "reassure": "say what is certain to go well, and nothing else",
    "step-by-step": "numbered or ordered steps",
    "unhurried": "no pushing on",
    "warm": "kind wording",
}
"""Those that every client may know; one's own begin with ``x-``."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One value and its two thresholds. It enters and stays above them, or below."""

    value: str
    """One of `VALUES`."""
    enter: float
    leave: float
    above: bool
    labels: tuple[str, ...] = ()
    """Whose probabilities are added up."""
    over: int = 1
    """Utterances of a trend."""

    def measure(self, history: Sequence[Reading]) -> float | None:
        """The value after the newest of these readings; None: not known."""
        if not self.value.endswith(TREND):
            return self._of(history[-1], self.value)
        if len(history) < self.over:
            return None
        values = [self._of(reading, self.value.removesuffix(TREND)) for reading in history[-self.over :]]
        known = [value for value in values if value is not None]
        return _rise(known) if len(known) == self.over else None

    def enters(self, value: float | None) -> bool:
        """The rule may begin."""
        return value is not None and (value >= self.enter if self.above else value <= self.enter)

    def stays(self, value: float | None) -> bool:
        """The rule need not end."""
        return value is not None and (value >= self.leave if self.above else value <= self.leave)

    def told(self, value: float | None, *, entering: bool) -> str:
        """For people: ``"probability of angry 0.83, from 0.60"``."""
        name = f"{self.value} of {' + '.join(self.labels)}" if self.labels else self.value
        name += f" over {self.over}" if self.over > 1 else ""
        bound = self.enter if entering else self.leave
        holds = self.enters(value) if entering else self.stays(value)
        relation = (">=" if self.above else "<=") if holds else ("<" if self.above else ">")
        return f"{name} " + ("is not known" if value is None else f"{value:.2f} {relation} {bound:g}")

    def _of(self, reading: Reading, name: str) -> float | None:
        if name != PROBABILITY:
            return reading.levels.get(name)
        known = [reading.probabilities[label] for label in self.labels if label in reading.probabilities]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Rule:
    """What to say, and when."""

    name: str
    when: tuple[Condition, ...]
    """All must hold."""
    text: Mapping[str, str]
    """One sentence by language."""
    style_tags: tuple[str, ...]
    about: frozenset[Kind]
    priority: int = 0
    enter_after: int = 1
    """Utterances in a row that meet the conditions."""
    leave_after: int = 1
    """Utterances in a row that do not."""
    cool_down_utterances: int = 0
    """After it ended, so many that count before it may begin again."""
    cool_down_s: float = 0.0
    """As much of the session's time."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Checked rules. `affectstream.tone.load` reads one from YAML."""

    name: str
    """What `SessionStarted.guidance_policy` says."""
    languages: tuple[str, ...]
    """BCP 47 tags; the first stands in for any other."""
    rules: tuple[Rule, ...]
    """The one that goes before others first."""

    def language(self, asked: str) -> str:
        """The language of the texts for whom speaks ``asked``: it, what it begins with, or the first."""
        known = {tag.lower(): tag for tag in self.languages}
        tag = asked.lower()
        while tag and tag not in known:
            tag = tag.rpartition("-")[0]
        return known.get(tag, self.languages[0])


def _rise(values: Sequence[float]) -> float:
    """From the first to the last along the straight line that fits best."""
    count = len(values)
    middle = (count - 1) / 2
    mean = sum(values) / count
    spread = sum((place - middle) ** 2 for place in range(count))
    slope = sum((place - middle) * (value - mean) for place, value in enumerate(values)) / spread
    return slope * (count - 1)
