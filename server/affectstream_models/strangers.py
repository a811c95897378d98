"""The hardest test that the training speakers allow: another gender, other sentences, and harmed audio.

Speech of another language and another studio is further away still. So confidence is fitted to how often the
model is right here, and not to speakers who are like those of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from affectstream_models.crossfit import Unseen, hear
from affectstream_models.embedded import LABELS
from affectstream_models.fit import Examples, Recipe, fit_heads
from affectstream_models.metrics import log_loss, recalls

BASES = np.geomspace(0.25, 3, 48)
SLOPES = np.concatenate([[0.0], np.geomspace(0.05, 6, 28)])
OVERCONFIDENCE = 0.05
"""How far confidence may exceed accuracy, on average, under any one harm."""


@dataclass(frozen=True, slots=True)
class Half:
    """Training speakers of one gender, saying half of the sentences."""

    gender: str
    sentences: frozenset[str]

    def own(self, examples: Examples) -> npt.NDArray[np.bool_]:
        """Rows of this half."""
        said = np.isin(examples.sentences, sorted(self.sentences))
        return np.logical_and(examples.genders == self.gender, said)

    def strange(self, examples: Examples) -> npt.NDArray[np.bool_]:
        """Rows that share neither gender nor sentence with it."""
        said = np.isin(examples.sentences, sorted(self.sentences))
        return np.logical_and(examples.genders != self.gender, ~said)


def halves(examples: Examples) -> list[Half]:
    """Each gender with each half of the sentences, as far as it has every label to learn."""
    sentences = sorted(set(examples.sentences.tolist()))
    middle = len(sentences) // 2
    found = [
        Half(gender, frozenset(part))
        for gender in sorted(set(examples.genders.tolist()))
        for part in (sentences[:middle], sentences[middle:])
    ]
    return [half for half in found if len(set(examples.labels[half.own(examples)].tolist())) == len(LABELS)]


def among_strangers(
    examples: Examples,
    asked: Sequence[Examples],
    seed: int,
    recipe: Recipe,
    advance: Callable[[], None] = lambda: None,
) -> dict[Half, list[Unseen]]:
    """By half: each of `asked`, its strange rows heard by heads that were trained on the half's `examples`.

    `advance` is called after each half.
    """
    told = {}
    for half in halves(examples):
        heads = fit_heads(examples.where(half.own(examples)), seed, recipe)
        told[half] = [hear(heads, rows.where(half.strange(rows))) for rows in asked]
        advance()
    return told


def fit_careful(home: Unseen, harmed: Sequence[Unseen]) -> tuple[float, float]:
    """Base and slope of the temperature: the least slope that leaves no harm too confident.

    At each slope the base is that under which the truth of `home` is likeliest, classes weighing the same.
    """
    base = slope = 0.0
    for slope in SLOPES.tolist():
        base = min(BASES.tolist(), key=lambda tried: log_loss(home.calibrated(tried, slope), home.labels))
        if all(overconfidence(one, base, slope) <= OVERCONFIDENCE for one in harmed):
            break
    return base, slope


def overconfidence(unseen: Unseen, base: float, slope: float) -> float:
    """Mean confidence less accuracy, -1..1."""
    told = unseen.calibrated(base, slope)
    return float(told.max(axis=1).mean() - np.mean(told.argmax(axis=1) == unseen.labels))


def least_recalls(parts: Sequence[Unseen]) -> dict[str, float]:
    """Each label's lowest recall, 0..1, over the parts."""
    found = np.array([recalls(one.labels, one.logits.argmax(axis=1), len(LABELS)) for one in parts])
    return dict(zip(LABELS, np.nanmin(found, axis=0).tolist(), strict=True))
