"""Choose the hang-over's weights on the tuning talks, weighing cuts against merges.

    python -m quality tune --audio FOLDER

Every combination of three numbers segments whole talks, and the one of least `cost` is kept: the
amount of speech after which the hang-over is the usual one, how steeply it falls beyond, and what a
fading voice adds. They are chosen on some talks and checked on others; the conversation talks are
never read here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.endpoint import Weights
from affectstream_server.stages.segment import Endpointing, Segmenter
from quality.generate import KINDS, Generator, Kind
from quality.listen import Progress, listen, segment
from quality.measure import Heard, Score, score
from quality.peers import LIVEKIT, PIPECAT
from quality.talks import Talk

FIT_SEEDS: Final = (1, 2, 3)
CHECK_SEEDS: Final = (4, 5)
CUT_COST: Final[Mapping[Kind, float]] = {"many": 1.0, "hesitant": 0.2, "long": 0.08}
"""What a split of a talk between speakers, and a cut in each hesitant kind, cost beside a merge."""
USUAL_AFTER_S: Final = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
LENGTH_WEIGHTS: Final = (2.0, 4.0, 7.0, 10.0, 14.0)
SLOPE_WEIGHTS: Final = (0.0, -0.5, -1.0, -2.0, -4.0)


@dataclass(frozen=True, slots=True)
class Answered:
    """A tuning talk and what the detector said of it, a block at a time."""

    talk: Talk
    probabilities: Sequence[float]
    levels_db: Sequence[float]


Talks = Mapping[Kind, Sequence[Answered]]
Scores = dict[Kind, Score]


def answer(
    generator: Generator, seeds: Sequence[int], settings: EndpointingSettings, say: Callable[[str], Progress]
) -> Talks:
    """The detector's answers for the talks of these seeds."""
    answered: dict[Kind, Sequence[Answered]] = {}
    for kind in KINDS:
        talks = [talk for seed in seeds for talk in generator.talks(kind, seed)]
        listened = listen(talks, settings, progress=say(f"{kind} talks {seeds}"))
        answered[kind] = [
            Answered(talk, one.probabilities, one.levels_db)
            for talk, one in zip(talks, listened, strict=True)
        ]
    return answered


def scores(talks: Talks, settings: EndpointingSettings, weights: Weights) -> Scores:
    """Every kind of talk segmented with these weights."""
    rules = Endpointing.from_settings(settings)
    return _scored(
        talks, lambda one: segment(one.probabilities, len(one.talk.audio), Segmenter(rules, weights))
    )


def peers(talks: Talks) -> dict[str, Scores]:
    """The other endpointers on the same answers."""
    return {
        peer.name: _scored(talks, lambda one, peer=peer: peer(one.probabilities, one.levels_db))  # type: ignore[misc]
        for peer in (PIPECAT, LIVEKIT)
    }


def cost(totals: Scores) -> float:
    """Merges and weighed cuts for each utterance."""
    merges = totals["many"].merged / totals["many"].utterances
    return merges + sum(
        CUT_COST[kind] * (total.split if kind == "many" else total.cuts) / total.utterances
        for kind, total in totals.items()
    )


def search(talks: Talks, settings: EndpointingSettings) -> Iterator[tuple[float, Weights, Scores]]:
    """Every combination: its cost, its weights and its scores."""
    for usual_after_s, length, slope in product(USUAL_AFTER_S, LENGTH_WEIGHTS, SLOPE_WEIGHTS):
        weights = Weights(round(-length * math.log(usual_after_s), 2), length, slope)
        totals = scores(talks, settings, weights)
        yield cost(totals), weights, totals


def _scored(talks: Talks, endpointer: Callable[[Answered], list[Heard]]) -> Scores:
    totals: Scores = {kind: Score() for kind in KINDS}
    for kind, answered in talks.items():
        for one in answered:
            totals[kind].add(score(one.talk.utterances, endpointer(one)))
    return totals
