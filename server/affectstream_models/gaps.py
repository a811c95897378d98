"""Whether a model serves some groups worse than others, and how sure that is.

Intervals are 95 %, by a bootstrap that draws speakers first and then clips of each: clips of one speaker
resemble each other, and with two speakers a group the truth still lies outside more often than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from affectstream_models import metrics
from affectstream_models.judge import Interval, Told

Places = npt.NDArray[np.int64]

RESAMPLES: Final = 1_000
OVERCONFIDENCE: Final = "confidence − accuracy"


@dataclass(frozen=True, slots=True)
class Side:
    """One group's figures."""

    group: str
    clips: int
    speakers: int
    figures: Mapping[str, float]
    """By name: UAR, recall of each label, ECE, confidence − accuracy, mean of each dimension."""
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Gap:
    """One group's figures minus another's."""

    of: str
    """`gender`, `language` or `speaker`."""
    where: str
    """Corpus and split, `all`, or `different corpora` where no corpus has both."""
    first: Side
    second: Side
    difference: Mapping[str, float]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Spread:
    """How far apart the UARs of speakers are, and how far they would be by chance."""

    where: str
    speakers: Mapping[str, float]
    """UAR of each."""
    spread: float
    """Largest minus smallest."""
    by_chance: float
    """What 95 % of spreads stay below when speakers are shuffled within each emotion."""


class Judged:
    """Clips as arrays, with figures of any part of them."""

    def __init__(self, told: Sequence[Told], labels: Sequence[str], dimensions: Sequence[str]) -> None:
        self._labels = labels
        self._truth = np.array([labels.index(one.clip.emotion) for one in told], dtype=np.int64)
        self._probabilities = metrics.softmax(np.array([one.prediction.logits for one in told]))
        self._dims = np.array([one.prediction.dims for one in told]).reshape(len(told), -1)
        self._dims = self._dims[:, : len(dimensions)]
        self.speakers = np.array([f"{one.clip.corpus}/{one.clip.speaker}" for one in told])
        self.names = (
            "UAR",
            *(f"recall of {label}" for label in labels),
            "ECE",
            OVERCONFIDENCE,
            *(f"mean {name}" for name in dimensions),
        )

    def figures(self, places: Places) -> metrics.Reals:
        """In the order of `names`; NaN where no clip has the label. A dimension's mean is over labels."""
        truth, probabilities = self._truth[places], self._probabilities[places]
        told = probabilities.argmax(axis=1)
        recalls = metrics.recalls(truth, told, len(self._labels))
        present = np.unique(truth)
        levels = np.mean([self._dims[places][truth == label].mean(axis=0) for label in present], axis=0)
        return np.array(
            [
                np.nanmean(recalls),
                *recalls,
                metrics.calibration_error(probabilities, truth),
                probabilities.max(axis=1).mean() - (told == truth).mean(),
                *levels,
            ]
        )

    def drawn(self, places: Places) -> metrics.Reals:
        """Figures of resamples, [RESAMPLES, names]."""
        rng = np.random.default_rng(0)
        speakers = self.speakers[places]
        clips = [places[speakers == speaker] for speaker in np.unique(speakers)]

        def draw() -> Places:
            chosen = [clips[which] for which in rng.integers(len(clips), size=len(clips))]
            return np.concatenate([rng.choice(mine, len(mine)) for mine in chosen])

        return np.array([self.figures(draw()) for _ in range(RESAMPLES)])

    def uar(self, places: Places) -> float:
        """Of these clips."""
        told = self._probabilities[places].argmax(axis=1)
        return metrics.unweighted_average_recall(self._truth[places], told, len(self._labels))

    def shuffled(self, groups: npt.NDArray[np.str_], rng: np.random.Generator) -> npt.NDArray[np.str_]:
        """The groups dealt out anew among the clips of each emotion."""
        dealt = groups.copy()
        for label in np.unique(self._truth):
            mine = np.flatnonzero(self._truth == label)
            dealt[mine] = rng.permutation(groups[mine])
        return dealt


def gaps(
    told: Sequence[Told],
    labels: Sequence[str],
    dimensions: Sequence[str],
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Gap]:
    """Between genders within each corpus, and between languages over all; `advance` after each group."""
    for where in dict.fromkeys(corpus(one) for one in told):
        mine = [one for one in told if corpus(one) == where]
        yield from _pairs("gender", where, mine, Judged(mine, labels, dimensions), advance)
    yield from _pairs("language", "all", told, Judged(told, labels, dimensions), advance)


def spreads(told: Sequence[Told], labels: Sequence[str]) -> Iterator[Spread]:
    """Of the speakers of each corpus that has several."""
    for where in dict.fromkeys(corpus(one) for one in told):
        mine = [one for one in told if corpus(one) == where]
        judged = Judged(mine, labels, ())
        speakers = np.array([one.clip.speaker for one in mine])
        names = np.unique(speakers)
        if len(names) < 2:
            continue
        rng = np.random.default_rng(0)

        def told_apart(groups: npt.NDArray[np.str_], judged: Judged = judged) -> dict[str, float]:
            return {str(name): judged.uar(np.flatnonzero(groups == name)) for name in np.unique(groups)}

        uars = told_apart(speakers)
        chance = [_width(told_apart(judged.shuffled(speakers, rng))) for _ in range(RESAMPLES)]
        yield Spread(where, uars, _width(uars), float(np.quantile(chance, 0.95)))


def corpus(told: Told) -> str:
    """Corpus and split."""
    return f"{told.clip.corpus}/{told.clip.split}"


def _pairs(
    of: str, where: str, told: Sequence[Told], judged: Judged, advance: Callable[[], None]
) -> Iterator[Gap]:
    groups = np.array([getattr(one.clip, of) for one in told])
    names = [str(name) for name in np.unique(groups) if name != "-"]
    if len(names) < 2:
        return
    sides, drawn = {}, {}
    for name in names:
        places = np.flatnonzero(groups == name)
        drawn[name] = judged.drawn(places)
        sides[name] = Side(
            group=name,
            clips=len(places),
            speakers=len(np.unique(judged.speakers[places])),
            figures=dict(zip(judged.names, judged.figures(places).tolist(), strict=True)),
            intervals=_intervals(judged.names, drawn[name]),
        )
        advance()
    corpora = {name: {corpus(told[place]) for place in np.flatnonzero(groups == name)} for name in names}
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            apart = where == "all" and not corpora[first] & corpora[second]
            difference = {
                name: sides[first].figures[name] - sides[second].figures[name] for name in judged.names
            }
            intervals = _intervals(judged.names, drawn[first] - drawn[second])
            within = "different corpora" if apart else where
            yield Gap(of, within, sides[first], sides[second], difference, intervals)


def _intervals(names: Sequence[str], drawn: metrics.Reals) -> dict[str, Interval]:
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return {name: (float(low[place]), float(high[place])) for place, name in enumerate(names)}


def _width(uars: Mapping[str, float]) -> float:
    return max(uars.values()) - min(uars.values())
