"""Fits the heads of the embedded model: statistics in, weights out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from affectstream_models.embedded import LABELS, MEMBERS, Heads
from affectstream_models.utterance import STATISTICS

AROUSAL_TARGETS = (0.3, 0.8, 0.15, 0.9)
"""Arousal of an acted neutral, happy, sad and angry clip, 0..1: the corpus labels emotions, not arousal."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the heads are trained."""

    epochs: int = 40
    batch: int = 128
    peak_rate: float = 3e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    mixup: float = 0.2
    """Both parameters of the beta distribution that two examples are mixed by."""
    arousal_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class Examples:
    """Clips as they were heard, one row each."""

    statistics: npt.NDArray[np.float32]
    """[rows, STATISTICS]"""
    labels: npt.NDArray[np.int64]
    """Place in LABELS [rows]."""
    speakers: npt.NDArray[np.str_]
    """[rows]"""
    genders: npt.NDArray[np.str_]
    """`m` or `f` [rows]."""
    sentences: npt.NDArray[np.str_]
    """Which sentence is said [rows]."""
    altered: npt.NDArray[np.bool_]
    """Whether the row is an altered copy [rows]."""

    def __post_init__(self) -> None:
        if self.statistics.shape != (len(self.labels), STATISTICS):
            raise ValueError(f"statistics must be [{len(self.labels)}, {STATISTICS}]")
        columns = (self.labels, self.speakers, self.genders, self.sentences, self.altered)
        if len({len(column) for column in columns}) != 1:
            raise ValueError(
                "labels, speakers, genders, sentences and altered must have a value for each row"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, rows: npt.NDArray[np.bool_]) -> Examples:
        """The rows that are marked."""
        return Examples(*(getattr(self, item.name)[rows] for item in fields(self)))


def fit_heads(
    examples: Examples, seed: int, recipe: Recipe, advance: Callable[[], None] = lambda: None
) -> Heads:
    """Trains from the seed alone: the same seed, examples and machine give the same weights.

    `advance` is called after each epoch. The temperature is left at 1.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    heads = Heads()
    statistics = torch.from_numpy(examples.statistics)
    heads.standardise(statistics)
    standard = heads.standard(statistics)
    labels = torch.from_numpy(examples.labels)
    batch = min(recipe.batch, len(labels))
    steps = len(labels) // batch
    optimiser = torch.optim.AdamW(heads.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_rate, total_steps=recipe.epochs * steps + 1
    )
    loss_of = _Loss(labels, recipe)
    heads.train()
    for _ in range(recipe.epochs):
        order = torch.randperm(len(labels))
        for step in range(steps):
            mine = order[step * batch : (step + 1) * batch]
            other = mine[torch.randperm(batch)]
            share = float(rng.beta(recipe.mixup, recipe.mixup))
            emotion, arousal, _ = heads.members(share * standard[mine] + (1 - share) * standard[other])
            loss = share * loss_of(emotion, arousal, mine) + (1 - share) * loss_of(emotion, arousal, other)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        advance()
    return heads.eval()


class _Loss:
    """Cross-entropy of the emotion, classes weighing the same, and of arousal; summed over the members."""

    def __init__(self, labels: Tensor, recipe: Recipe) -> None:
        weights = 1 / torch.bincount(labels, minlength=len(LABELS)).clamp(min=1)
        self._labels = labels
        self._weights = weights / weights[labels].mean()
        self._arousal = torch.tensor(AROUSAL_TARGETS)[labels]
        self._recipe = recipe

    def __call__(self, emotion: Tensor, arousal: Tensor, rows: Tensor) -> Tensor:
        labels = self._labels[rows].repeat(MEMBERS)
        named = functional.cross_entropy(
            emotion.flatten(end_dim=1), labels, self._weights, label_smoothing=self._recipe.label_smoothing
        )
        aroused = functional.binary_cross_entropy_with_logits(
            arousal.flatten(), self._arousal[rows].repeat(MEMBERS)
        )
        return MEMBERS * (named + self._recipe.arousal_weight * aroused)
