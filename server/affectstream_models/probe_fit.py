"""A probe: regularised logistic regression on the embedding, and how well it does on clips it did not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import optimize

from affectstream_models.metrics import Labels, Reals, softmax, unweighted_average_recall

DECAY: Final = 100.0
"""Weight of the squares of the weights beside the log loss of all clips, on standardised values. Chosen on
tasks that the bundled model was not trained for, on its training and dev speakers: docs/probe.md."""
FOLDS: Final = 5
REPEATS: Final = 10
_DRAWS: Final = 4_000
_TRIES: Final = 200


@dataclass(frozen=True, slots=True)
class Weights:
    """Logits are ``embedding @ weights.T + bias``."""

    weights: Reals
    """``[labels, embedding]``"""
    bias: Reals
    """``[labels]``"""

    def probabilities(self, embeddings: Reals) -> Reals:
        """``[clips, labels]`` of ``[clips, embedding]``."""
        return softmax(embeddings @ self.weights.T + self.bias)


@dataclass(frozen=True, slots=True)
class Validation:
    """On clips that were left out. Shares are 0..1."""

    uar: float
    """Mean recall over the labels, mean over the repeats."""
    low: float
    """Of 95 %."""
    high: float
    chance: float
    """Mean recall of who always says the same: 1 / labels."""
    accuracy: float
    majority: float
    """Accuracy of who always says the label with the most clips."""
    folds: int
    repeats: int
    by_group: bool

    @property
    def better_than_chance(self) -> bool:
        """Surely so."""
        return self.low > self.chance


def fit(embeddings: Reals, labels: Labels, classes: int, decay: float = DECAY) -> Weights:
    """Learn to tell ``classes`` labels apart; every label weighs the same, however many clips it has."""
    centre = embeddings.mean(axis=0)
    spread = embeddings.std(axis=0) + 1e-3
    standard = (embeddings - centre) / spread
    count, size = standard.shape
    share = np.bincount(labels, minlength=classes)
    heft = (count / (classes * np.maximum(share, 1)))[labels]
    truth = np.eye(classes)[labels]

    def loss(flat: Reals) -> tuple[float, Reals]:
        weights, bias = flat[: classes * size].reshape(classes, size), flat[classes * size :]
        told = softmax(standard @ weights.T + bias)
        cost = -(heft * np.log(told[np.arange(count), labels] + 1e-12)).sum() + decay / 2 * (weights**2).sum()
        slope = heft[:, None] * (told - truth)
        return float(cost), np.concatenate(
            [(slope.T @ standard + decay * weights).ravel(), slope.sum(axis=0)]
        )

    found = optimize.minimize(
        loss, np.zeros(classes * (size + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    ).x
    weights = found[: classes * size].reshape(classes, size) / spread
    bias = found[classes * size :]
    return Weights(weights, bias - bias.mean() - weights @ centre)


def validate(
    embeddings: Reals,
    labels: Labels,
    groups: npt.NDArray[np.str_] | None,
    classes: int,
    *,
    repeats: int = REPEATS,
    advance: Callable[[], None] = lambda: None,
) -> Validation | None:
    """Cross-validate, stratified by label, with every group whole; None where groups cannot be dealt out so.

    ``advance`` is called after each repeat.
    """
    rng = np.random.default_rng(0)
    right = np.zeros(len(labels))
    folds = min(FOLDS, int(np.bincount(labels, minlength=classes).min()))
    if groups is not None:
        folds = min(folds, len(np.unique(groups)))
    uars = []
    for _ in range(repeats):
        dealt = _deal(labels, groups, folds, classes, rng)
        if dealt is None:
            return None
        told = np.empty(len(labels), dtype=np.int64)
        for fold in range(folds):
            mine = dealt == fold
            probe = fit(embeddings[~mine], labels[~mine], classes)
            told[mine] = probe.probabilities(embeddings[mine]).argmax(axis=1)
        right += told == labels
        uars.append(unweighted_average_recall(labels, told, classes))
        advance()
    low, high = interval(right / repeats, labels, classes)
    return Validation(
        uar=float(np.mean(uars)),
        low=low,
        high=high,
        chance=1 / classes,
        accuracy=float(right.mean() / repeats),
        majority=float(np.bincount(labels).max() / len(labels)),
        folds=folds,
        repeats=repeats,
        by_group=groups is not None,
    )


def interval(right: Reals, labels: Labels, classes: int) -> tuple[float, float]:
    """95 % of a mean recall, from each clip's share of right answers: Jeffreys' for each label, together.

    Unlike a bootstrap it does not call ten right of ten a certainty.
    """
    rng = np.random.default_rng(0)
    drawn = np.zeros(_DRAWS)
    for label in range(classes):
        mine = right[labels == label]
        drawn += rng.beta(0.5 + mine.sum(), 0.5 + len(mine) - mine.sum(), _DRAWS) / classes
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _deal(
    labels: Labels, groups: npt.NDArray[np.str_] | None, folds: int, classes: int, rng: np.random.Generator
) -> Labels | None:
    """A fold for each clip; whatever fold is left out, the others have clips of every label."""
    if groups is None:
        dealt = np.empty(len(labels), dtype=np.int64)
        for label in range(classes):
            mine = rng.permutation(np.flatnonzero(labels == label))
            dealt[mine] = (np.arange(len(mine)) + rng.integers(folds)) % folds
        return dealt
    names, member = np.unique(groups, return_inverse=True)
    for _ in range(_TRIES):
        fold_of = rng.permutation(np.arange(len(names)) % folds)
        dealt = fold_of[member]
        if all(len(np.unique(labels[dealt != fold])) == classes for fold in range(folds)):
            return np.asarray(dealt)
    return None
