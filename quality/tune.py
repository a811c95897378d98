"""Choose the hang-over's weights on the tuning talks, weighing cuts against merges.

    python -m quality tune --audio FOLDER

Every combination of three numbers segments whole talks, wide-band and as a telephone gives them: the
amount of speech after which the hang-over is the usual one, how steeply it falls beyond, and what a
fading voice adds. Of those that cut hesitating speakers less than LiveKit's settings do, the one with
the fewest splits and merges between many speakers is kept. They are chosen on some talks and checked
on others, and on talks in steady noise; the conversation talks are never read here.
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
from quality.listen import Line, Progress, listen, segment
from quality.measure import Heard, Score, score
from quality.peers import LIVEKIT, PIPECAT
from quality.talks import Talk

FIT_SEEDS: Final = (1, 2, 3)
CHECK_SEEDS: Final = (4, 5)
MOST_CUTS: Final = 0.9
"""Of the cuts an utterance that LiveKit's settings make in hesitant talks."""
LINES: Final[tuple[Line, ...]] = ("16 kHz", "8 kHz µ-law")
USUAL_AFTER_S: Final = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
LENGTH_WEIGHTS: Final = (2.0, 4.0, 7.0, 10.0, 14.0)
SLOPE_WEIGHTS: Final = (0.0, -0.5, -1.0, -2.0, -4.0)
SHORTEST_ALWAYS: Final = Weights(9.0, 0.0, 0.0)
"""No hang-over within the range merges less."""
LONGEST_ALWAYS: Final = Weights(-9.0, 0.0, 0.0)
"""No hang-over within the range splits less."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A tuning talk and what the detector said of it, a block at a time."""

    talk: Talk
    probabilities: Sequence[float]
    levels_db: Sequence[float]


Talks = Mapping[tuple[Kind, Line], Sequence[Answered]]
Scores = dict[tuple[Kind, Line], Score]


def answer(
    generator: Generator, seeds: Sequence[int], settings: EndpointingSettings, say: Callable[[str], Progress]
) -> Talks:
    """The detector's answers for the talks of these seeds."""
    answered: dict[tuple[Kind, Line], Sequence[Answered]] = {}
    for kind in KINDS:
        talks = [talk for seed in seeds for talk in generator.talks(kind, seed)]
        for line in LINES:
            listened = listen(talks, settings, line, say(f"{kind} talks {seeds}, {line}"))
            answered[kind, line] = [
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


def faults(totals: Scores) -> float:
    """Splits and merges an utterance between many speakers, the mean over the lines."""
    many = [totals["many", line] for line in LINES]
    return sum((score.split + score.merged) / score.utterances for score in many) / len(many)


def cuts(totals: Scores) -> float:
    """Cuts an utterance of hesitating speakers, at 16 kHz."""
    return totals["hesitant", LINES[0]].cuts / totals["hesitant", LINES[0]].found


def search(talks: Talks, settings: EndpointingSettings) -> Iterator[tuple[float, float, Weights]]:
    """Every combination: its faults, its cuts and its weights."""
    for usual_after_s, length, slope in product(USUAL_AFTER_S, LENGTH_WEIGHTS, SLOPE_WEIGHTS):
        weights = Weights(round(-length * math.log(usual_after_s), 2), length, slope)
        totals = scores(talks, settings, weights)
        yield faults(totals), cuts(totals), weights


def _scored(talks: Talks, endpointer: Callable[[Answered], list[Heard]]) -> Scores:
    totals: Scores = {key: Score() for key in talks}
    for key, answered in talks.items():
        for one in answered:
            totals[key].add(score(one.talk.utterances, endpointer(one)))
    return totals
