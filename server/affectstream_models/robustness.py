"""How far a model's answers move when a clip is changed and its emotion is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from affectstream_models import metrics
from affectstream_models.card import Abstention
from affectstream_models.judge import Interval, Told
from affectstream_models.metrics import Reals, bootstrap_interval, softmax


@dataclass(frozen=True, slots=True)
class Drift:
    """One perturbation against the clips as they are. Shares are 0..1, intervals 95 % over clips."""

    perturbation: str
    clips: int
    flips: float
    """Share of clips whose likeliest label is another."""
    flips_interval: Interval
    acted_flips: float | None
    """Share that is acted on before and after, as different labels; None without a card."""
    moved: float
    """Mean probability that went to other labels (total variation)."""
    dimensions: Mapping[str, tuple[float, float]]
    """By name: mean change, and mean size of the change."""
    uar_change: float


def drift(
    clean: Sequence[Told],
    changed: Sequence[Told],
    labels: Sequence[str],
    dimensions: Sequence[str],
    abstention: Abstention | None,
) -> Drift:
    """The same clips in the same order, as they are and perturbed."""
    before, after = _probabilities(clean), _probabilities(changed)
    first, then = before.argmax(axis=1), after.argmax(axis=1)
    flipped = first != then
    truth = np.array([labels.index(one.clip.emotion) for one in clean], dtype=np.int64)
    change = np.array(
        [
            np.subtract(b.prediction.dims, a.prediction.dims)[: len(dimensions)]
            for a, b in zip(clean, changed, strict=True)
        ]
    )
    recall = metrics.unweighted_average_recall
    return Drift(
        perturbation=changed[0].condition,
        clips=len(clean),
        flips=float(flipped.mean()),
        flips_interval=bootstrap_interval(lambda drawn: float(flipped[drawn].mean()), len(flipped)),
        acted_flips=_acted_flips(before, after, labels, abstention) if abstention else None,
        moved=float(np.abs(after - before).sum(axis=1).mean() / 2),
        dimensions={
            name: (float(change[:, place].mean()), float(np.abs(change[:, place]).mean()))
            for place, name in enumerate(dimensions)
        },
        uar_change=recall(truth, then, len(labels)) - recall(truth, first, len(labels)),
    )


def _acted_flips(before: Reals, after: Reals, labels: Sequence[str], abstention: Abstention) -> float:
    floors = np.array([abstention.min_probability[label] for label in labels])

    def acted(probabilities: Reals) -> npt.NDArray[np.bool_]:
        return np.asarray(probabilities.max(axis=1) >= floors[probabilities.argmax(axis=1)])

    both = acted(before) & acted(after)
    return float((both & (before.argmax(axis=1) != after.argmax(axis=1))).mean())


def _probabilities(told: Sequence[Told]) -> Reals:
    return softmax(np.array([one.prediction.logits for one in told]))
