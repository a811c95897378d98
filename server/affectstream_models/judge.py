"""All figures of one group of clips, from what a model said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from affectstream.contract import DIMENSIONS
from affectstream_models import metrics
from affectstream_models.card import Abstention
from affectstream_models.dataset import Clip
from affectstream_models.predictor import Prediction

HIGH_AROUSAL = frozenset({"happy", "angry", "fearful", "surprised"})
LOW_AROUSAL = frozenset({"neutral", "sad"})
COVERAGES = (1.0, 0.75, 0.5, 0.25)

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Told:
    """A clip, the condition it was heard in, and what the model said."""

    clip: Clip
    condition: str
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Abstained:
    """What is left where the model names an emotion only above its thresholds."""

    coverage: float
    """Share of clips that are named, 0..1."""
    accuracy: float
    """Of those, 0..1; NaN where none is named."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares are 0..1; intervals are 95 %, by bootstrap over clips."""

    clips: int
    uar: float
    uar_interval: Interval
    accuracy: float
    macro_f1: float
    recalls: Mapping[str, float]
    confidence: float
    """Mean probability of the likeliest label."""
    ece: float
    ece_interval: Interval
    risks: Mapping[float, float]
    """Share of errors among the most confident part, by coverage."""
    abstained: Abstained | None
    arousal_halves: float | None
    """Mean recall of high and of low arousal at 0.5, by the emotion's usual arousal."""
    ccc: Mapping[str, float]
    """By dimension, where the clips carry values."""
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[metrics.Bin, ...]


def judge(
    told: Sequence[Told],
    labels: Sequence[str],
    dimensions: Sequence[str],
    abstention: Abstention | None = None,
    *,
    resamples: int = 1000,
) -> Figures:
    """Figures of the clips whose emotion is one of the model's labels; at least one clip must be."""
    scored = [one for one in told if one.clip.emotion in labels]
    truth = np.array([labels.index(one.clip.emotion) for one in scored], dtype=np.int64)
    probabilities = metrics.softmax(np.array([one.prediction.logits for one in scored]))
    predicted = probabilities.argmax(axis=1)
    classes = len(labels)
    risks = metrics.risk_coverage(probabilities, truth, COVERAGES)
    return Figures(
        clips=len(scored),
        uar=metrics.unweighted_average_recall(truth, predicted, classes),
        uar_interval=metrics.bootstrap_interval(
            lambda drawn: metrics.unweighted_average_recall(truth[drawn], predicted[drawn], classes),
            len(scored),
            resamples=resamples,
        ),
        accuracy=metrics.accuracy(truth, predicted),
        macro_f1=metrics.macro_f1(truth, predicted, classes),
        recalls=dict(zip(labels, metrics.recalls(truth, predicted, classes).tolist(), strict=True)),
        confidence=float(probabilities.max(axis=1).mean()),
        ece=metrics.calibration_error(probabilities, truth),
        ece_interval=metrics.bootstrap_interval(
            lambda drawn: metrics.calibration_error(probabilities[drawn], truth[drawn]),
            len(scored),
            resamples=resamples,
        ),
        risks=dict(zip(COVERAGES, risks, strict=True)),
        abstained=abstain(probabilities, truth, labels, abstention) if abstention else None,
        arousal_halves=_arousal_halves(scored, dimensions),
        ccc=_concordances(told, dimensions),
        confusion=tuple(tuple(row) for row in metrics.confusion(truth, predicted, classes).tolist()),
        reliability=tuple(metrics.reliability(probabilities, truth)),
    )


def abstain(
    probabilities: metrics.Reals, truth: metrics.Labels, labels: Sequence[str], abstention: Abstention
) -> Abstained:
    """Applies the thresholds by label; those by signal are the server's, which knows the signal."""
    floors = np.array([abstention.min_probability[label] for label in labels])
    predicted = probabilities.argmax(axis=1)
    named = probabilities.max(axis=1) >= floors[predicted]
    right = float(np.mean(predicted[named] == truth[named])) if named.any() else float("nan")
    return Abstained(float(named.mean()), right)


def _arousal_halves(told: Sequence[Told], dimensions: Sequence[str]) -> float | None:
    clear = [one for one in told if one.clip.emotion in HIGH_AROUSAL | LOW_AROUSAL]
    if "arousal" not in dimensions or not clear:
        return None
    place = list(dimensions).index("arousal")
    values = np.array([one.prediction.dims[place] for one in clear])
    return metrics.halves_recall(values, np.array([one.clip.emotion in HIGH_AROUSAL for one in clear]))


def _concordances(told: Sequence[Told], dimensions: Sequence[str]) -> dict[str, float]:
    found = {}
    for place, name in enumerate(dimensions):
        valued = [one for one in told if name in one.clip.dims]
        if name in DIMENSIONS and valued:
            truth = np.array([one.clip.dims[name] for one in valued])
            found[name] = metrics.concordance(truth, np.array([one.prediction.dims[place] for one in valued]))
    return found
