"""Predictions for speakers that the weights behind each prediction never heard."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from affectstream_models.embedded import Heads
from affectstream_models.fit import Examples, Recipe, fit_heads
from affectstream_models.metrics import Labels, Reals, softmax


@dataclass(frozen=True, slots=True)
class Unseen:
    """Predictions for rows whose speaker was held out."""

    logits: Reals
    """Before calibration [rows, 4]."""
    strangeness: Reals
    """1 in the median of training [rows]."""
    labels: Labels
    altered: npt.NDArray[np.bool_]

    def calibrated(self, base: float, slope: float) -> Reals:
        """Probabilities [rows, 4] at a temperature that grows with strangeness."""
        excess = np.maximum(self.strangeness - 1, 0)
        return softmax(self.logits / (base + slope * excess)[:, None])


def hear(heads: Heads, examples: Examples) -> Unseen:
    """Predictions of heads that never heard these speakers."""
    with torch.no_grad():
        standard = heads.standard(torch.from_numpy(examples.statistics))
        logits = heads.together(standard)[0].numpy().astype(np.float64)
        strangeness = heads.strangeness(standard)[:, 0].numpy().astype(np.float64)
    return Unseen(logits, strangeness, examples.labels, examples.altered)


def leave_speakers_out(
    examples: Examples,
    asked: Sequence[Examples],
    seed: int,
    recipe: Recipe,
    advance: Callable[[], None] = lambda: None,
) -> list[Unseen]:
    """Each of `asked`, every pair of speakers heard by heads that were trained on the others' `examples`.

    Two at a time and not one: what was chosen with these speakers in view suits them too well, and a
    smaller training set makes up for it. `advance` is called after each pair.
    """
    parts: list[list[Unseen]] = [[] for _ in asked]
    for held_out in held_out_speakers(examples):
        heads = fit_heads(examples.where(~np.isin(examples.speakers, held_out)), seed, recipe)
        for part, rows in zip(parts, asked, strict=True):
            part.append(hear(heads, rows.where(np.isin(rows.speakers, held_out))))
        advance()
    return [together(part) for part in parts]


def held_out_speakers(examples: Examples) -> list[tuple[str, ...]]:
    """The pairs, or single speakers where there are but two."""
    speakers = sorted(set(examples.speakers.tolist()))
    return list(itertools.combinations(speakers, min(2, len(speakers) - 1)))


def together(parts: Sequence[Unseen]) -> Unseen:
    """Several in one."""
    return Unseen(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.strangeness for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.altered for part in parts]),
    )
