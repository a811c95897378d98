"""Calibration among strangers: who is held out, and that no harm leaves the model too sure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `models`")

from affectstream_models.crossfit import Unseen
from affectstream_models.embedded import LABELS
from affectstream_models.fit import Recipe
from affectstream_models.strangers import (
    OVERCONFIDENCE,
    SLOPES,
    among_strangers,
    fit_careful,
    halves,
    least_recalls,
    overconfidence,
)
from tests.models.embedded.test_train import examples


def told(accuracy: float, sharpness: float, strangeness: float, seed: int = 0, count: int = 4_000) -> Unseen:
    """Predictions that are right as often as asked, whatever they say of it; every clip as strange."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    said = np.where(rng.random(count) < accuracy, labels, (labels + rng.integers(1, 4, count)) % 4)
    logits = sharpness * np.eye(4)[said]
    return Unseen(logits, np.full(count, strangeness), labels, np.zeros(count, bool))


def test_a_half_shares_neither_gender_nor_sentence_with_its_strangers() -> None:
    rows = examples()
    found = halves(rows)
    assert {(half.gender, *half.sentences) for half in found} == {
        (gender, sentence) for gender in "fm" for sentence in ("a01", "b02")
    }
    for half in found:
        own, strange = rows.where(half.own(rows)), rows.where(half.strange(rows))
        assert len(own) == len(strange) == len(rows) // 4
        assert not set(own.genders) & set(strange.genders)
        assert not set(own.sentences) & set(strange.sentences)


def test_a_half_without_a_label_is_not_learnt_from() -> None:
    rows = examples()
    rows = rows.where((rows.genders == "f") | (rows.labels != 2))
    assert {half.gender for half in halves(rows)} == {"f"}
    one_gender = replace(rows, genders=np.full(len(rows), "f"))
    heard = among_strangers(one_gender, [one_gender], 1, Recipe(epochs=1, batch=8))
    assert [len(parts[0].labels) for parts in heard.values()] == [0, 0]


def test_each_of_what_is_asked_is_heard_by_every_half() -> None:
    rows = examples()
    steps: list[int] = []
    heard = among_strangers(rows, [rows, rows], 1, Recipe(epochs=2, batch=8), lambda: steps.append(1))
    assert len(heard) == len(steps) == 4
    assert all([len(part.labels) for part in parts] == [16, 16] for parts in heard.values())


def test_the_slope_is_the_least_that_leaves_no_harm_too_sure() -> None:
    home = told(0.9, 3.0, 1.0)
    mild, bad = told(0.85, 3.0, 1.2, seed=1), told(0.4, 3.0, 2.0, seed=2)
    base, slope = fit_careful(home, [mild, bad])
    assert overconfidence(home, base, slope) == pytest.approx(0, abs=0.02)
    assert max(overconfidence(harm, base, slope) for harm in (mild, bad)) <= OVERCONFIDENCE
    steps = SLOPES.tolist()
    less = steps[steps.index(slope) - 1]
    assert overconfidence(bad, base, less) > OVERCONFIDENCE


def test_without_harm_the_temperature_is_the_same_for_all() -> None:
    home = told(0.9, 3.0, 1.0)
    assert fit_careful(home, [])[1] == 0
    assert fit_careful(home, [told(0.95, 3.0, 2.0)])[1] == 0


def test_the_least_recall_is_by_label_over_parts() -> None:
    right = told(1.0, 1.0, 1.0, count=400)
    deaf = replace(right, logits=np.where(right.labels[:, None] == 1, np.eye(4)[3], right.logits))
    found = least_recalls([right, deaf])
    assert found == {label: float(label != "happy") for label in LABELS}
