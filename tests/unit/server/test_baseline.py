"""Against the speaker's own baseline: what is usual is learnt, what is not is told in spreads."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.baseline import (
    LEAST_SPREAD,
    LEAST_UTTERANCES,
    MOST_MODELS,
    Baselines,
    Running,
)


def running(*values: float) -> Running:
    found = Running()
    for value in values:
        found.add(value)
    return found


def told(value: float | None) -> float:
    assert value is not None
    return value


def usual(count: int, seed: int = 0, around: float = 0.4, spread: float = 0.08) -> list[float]:
    rng = random.Random(seed)  # noqa: S311
    return [rng.gauss(around, spread) for _ in range(count)]


def test_it_is_silent_until_it_knows_enough() -> None:
    values = usual(LEAST_UTTERANCES)
    assert running(*values[:-1]).z_score(0.9) is None
    assert running(*values).z_score(0.9) is not None
    assert running(*values).count == LEAST_UTTERANCES


def test_mean_and_spread_are_those_of_the_values() -> None:
    values = usual(40)
    found = running(*values)
    assert found.spread == pytest.approx(statistics.stdev(values), rel=0.1)
    assert told(found.z_score(statistics.mean(values))) == pytest.approx(0, abs=0.15)


def test_values_that_are_alike_make_nothing_remarkable() -> None:
    same = running(*[0.5] * 20)
    assert same.spread == LEAST_SPREAD
    assert told(same.z_score(0.5 + LEAST_SPREAD / 2)) == pytest.approx(0.5)


@pytest.mark.parametrize("place", range(8))
def test_one_outlier_moves_it_little_wherever_it_stands(place: int) -> None:
    values = usual(8)
    plain = running(*values)
    spoilt = running(*values[:place], 0.99, *values[place + 1 :])
    assert abs(told(spoilt.z_score(0.4)) - told(plain.z_score(0.4))) < 1
    assert told(spoilt.z_score(0.99)) > 2, "another like it still stands out"


def test_a_lasting_change_becomes_the_usual() -> None:
    found = running(*usual(50), *usual(100, seed=1, around=0.8))
    assert abs(told(found.z_score(0.8))) < 1


@given(st.lists(st.floats(0, 1), max_size=300), st.floats(0, 1))
def test_any_levels_give_finite_figures(values: list[float], last: float) -> None:
    found = running(*values)
    assert LEAST_SPREAD <= found.spread <= 1
    z_score = found.z_score(last)
    assert (z_score is None) == (len(values) < LEAST_UTTERANCES)
    assert z_score is None or abs(z_score) <= 1.001 / LEAST_SPREAD


def final(
    arousal: float | None, status: pb.AffectStatus.ValueType = pb.AFFECT_STATUS_OK, model: str = "m"
) -> pb.AffectEvent:
    event = pb.AffectEvent(status=status, model=pb.Model(name=model, version="1"))
    if arousal is not None:
        event.dimensions.arousal = arousal
    return event


def after(baselines: Baselines, *events: pb.AffectEvent, channel: int = 0) -> pb.AffectEvent:
    for event in events:
        baselines.compare(channel, event)
    return events[-1]


def test_an_event_is_told_against_those_before_it() -> None:
    baselines = Baselines()
    assert not after(baselines, final(0.25)).HasField("change")
    second = after(baselines, final(0.75)).change
    assert (second.utterances, second.arousal_step) == (1, 0.5)
    assert not second.HasField("arousal"), "too short a baseline"
    assert not second.HasField("valence_step"), "the model gives none"
    after(baselines, *[final(0.5)] * LEAST_UTTERANCES)
    loud = after(baselines, final(1.0)).change
    assert loud.utterances == LEAST_UTTERANCES + 2
    assert loud.arousal > 2
    assert loud.arousal_step == 0.5


def test_what_is_not_acted_on_neither_has_a_change_nor_counts() -> None:
    baselines = Baselines()
    after(baselines, final(0.5))
    for status in (pb.AFFECT_STATUS_ABSTAINED, pb.AFFECT_STATUS_LOW_SNR, pb.AFFECT_STATUS_MODEL_ERROR):
        assert not after(baselines, final(1.0, status)).HasField("change")
    assert after(baselines, final(0.5)).change.arousal_step == 0


def test_channels_and_models_have_their_own() -> None:
    baselines = Baselines()
    after(baselines, *[final(0.2)] * 6)
    assert not after(baselines, final(0.9), channel=1).HasField("change")
    assert not after(baselines, final(0.9, model="fallback")).HasField("change")
    assert after(baselines, final(0.2)).change.utterances == 6, "and it was not lost"


def test_models_are_not_kept_without_bound() -> None:
    baselines = Baselines()
    after(baselines, *(final(0.5, model=f"m{number}") for number in range(MOST_MODELS + 1)))
    assert after(baselines, final(0.5, model="m1")).HasField("change")
    assert not after(baselines, final(0.5, model="m0")).HasField("change")


def test_withdrawn_consent_leaves_nothing() -> None:
    baselines = Baselines()
    after(baselines, *[final(0.5)] * 9)
    baselines.clear()
    assert not after(baselines, final(0.5)).HasField("change")
