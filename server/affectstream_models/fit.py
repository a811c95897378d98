"""Fits the heads of the embedded model: statistics in, weights and a temperature out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from affectstream_models.embedded import LABELS, STATISTICS, Heads

AROUSAL_TARGETS = (0.3, 0.8, 0.15, 0.9)
"""Arousal of an acted neutral, happy, sad and angry clip, 0..1: the corpus labels emotions, not arousal."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the heads are trained."""

    epochs: int = 40
    batch: int = 128
    peak_rate: float = 3e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.05
    mixup: float = 0.4
    """Both parameters of the beta distribution that two examples are mixed by."""
    arousal_weight: float = 0.5


@dataclass(frozen=True, slots=True)
class Examples:
    """Statistics float32 [clips, STATISTICS] and label indices int64 [clips]."""

    statistics: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.statistics.shape != (len(self.labels), STATISTICS):
            raise ValueError(f"statistics must be [{len(self.labels)}, {STATISTICS}]")


def fit_heads(
    examples: Examples, seed: int, recipe: Recipe, advance: Callable[[], None] = lambda: None
) -> Heads:
    """Trains from the seed alone: the same seed, examples and machine give the same weights.

    `advance` is called after each epoch.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    statistics = torch.from_numpy(examples.statistics)
    labels = torch.from_numpy(examples.labels)
    heads = Heads()
    heads.standardise(statistics)
    weights = functional.normalize(1 / torch.bincount(labels, minlength=len(LABELS)).clamp(min=1), p=1, dim=0)
    weights = weights / weights[labels].mean()
    arousal = torch.tensor(AROUSAL_TARGETS)[labels]
    batch = min(recipe.batch, len(labels))
    steps = len(labels) // batch
    optimiser = torch.optim.AdamW(heads.parameters(), weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_rate, total_steps=recipe.epochs * steps + 1
    )
    heads.train()
    for _ in range(recipe.epochs):
        order = torch.randperm(len(labels))
        for step in range(steps):
            mine = order[step * batch : (step + 1) * batch]
            other = mine[torch.randperm(batch)]
            share = float(rng.beta(recipe.mixup, recipe.mixup))
            mixed = share * statistics[mine] + (1 - share) * statistics[other]
            logits, arousal_logit, _ = heads(mixed)
            loss = torch.zeros(())
            for part, members in ((share, mine), (1 - share, other)):
                loss = loss + part * functional.cross_entropy(
                    logits, labels[members], weights, label_smoothing=recipe.label_smoothing
                )
                loss = loss + part * recipe.arousal_weight * functional.binary_cross_entropy_with_logits(
                    arousal_logit[:, 0], arousal[members]
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        advance()
    return heads.eval()
