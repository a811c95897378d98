"""Parity: what is measured, and what is out of budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectstream_models.meralion import PRODUCT_DTYPES
from affectstream_models.parity import Budget, Parity, ParityError, Scores, budget_of, compare, speech_windows

BUDGET = Budget(min_argmax_agreement=0.9, max_probability_delta=0.05, max_dim_delta=0.02)


def scores(seed: int = 0, windows: int = 20) -> Scores:
    random = np.random.default_rng(seed)
    logits = random.standard_normal((windows, 7)).astype(np.float32)
    return Scores(logits, random.random((windows, 3)).astype(np.float32))


def test_a_runtime_agrees_with_itself() -> None:
    assert compare(scores(), scores()) == Parity(20, 1.0, 0.0, 0.0)


def test_probabilities_are_a_softmax_that_large_logits_do_not_break() -> None:
    given = Scores(np.array([[1000.0, 999.0, 0, 0, 0, 0, 0]], np.float32), np.zeros((1, 3), np.float32))
    assert given.probabilities.sum() == pytest.approx(1)
    assert given.probabilities[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_differences_are_the_largest_of_any_window() -> None:
    reference, other = scores(), scores()
    other.dims[7, 2] += 0.25
    winner = other.logits[3].argmax()
    other.logits[3, winner] -= 100
    found = compare(reference, other)
    assert found.max_dim_delta == pytest.approx(0.25, abs=1e-6)
    assert found.argmax_agreement == pytest.approx(0.95)
    assert found.max_probability_delta == pytest.approx(reference.probabilities[3, winner], abs=1e-5)


@pytest.mark.parametrize(
    ("parity", "says"),
    [
        (
            Parity(9, 0.8, 0.0, 0.0),
            "argmax agreement is 0.8 over 9 windows of speech, the card asks for at least 0.9",
        ),
        (Parity(9, 1.0, 0.06, 0.0), "of probabilities is 0.06 over 9 windows"),
        (Parity(9, 1.0, 0.0, 0.03), "of dims is 0.03 over 9 windows"),
        (Parity(9, 1.0, float("nan"), 0.0), "of probabilities is nan"),
    ],
)
def test_what_is_out_of_budget_is_named(parity: Parity, says: str) -> None:
    with pytest.raises(ParityError, match=says):
        parity.require(BUDGET)


def test_the_card_has_a_budget_for_each_precision() -> None:
    for precision in PRODUCT_DTYPES:
        Parity(9, 1.0, 0.0, 0.0).require(budget_of(precision))


def test_runs_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ParityError, match="compare runs over the same windows"):
        compare(scores(windows=3), scores(windows=4))
    with pytest.raises(ParityError, match="no windows of speech"):
        compare(scores(windows=0), scores(windows=0))


def test_windows_are_cut_padded_and_taken_evenly(tmp_path: Path) -> None:
    for index in range(10):
        level = np.full(500 if index else 3_000, 100 * index + 1, dtype=np.int16)
        soundfile.write(tmp_path / f"{index}.flac", level, 16_000)
    windows = speech_windows(tmp_path, 5, 2_000)
    assert windows.dtype == np.int16
    assert [row[0] for row in windows] == [1, 201, 401, 601, 801]
    assert windows[0, -1] == 1
    assert not windows[1, 500:].any()
    assert len(speech_windows(tmp_path, 50, 2_000)) == 10


def test_what_is_no_speech_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"no \.wav or \.flac below it"):
        speech_windows(tmp_path, 1, 100)
    (tmp_path / "a.wav").write_bytes(b"noise")
    with pytest.raises(ParityError, match=r"a\.wav: cannot be read as audio"):
        speech_windows(tmp_path, 1, 100)
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2), np.int16), 44_100)
    with pytest.raises(ParityError, match="44100 Hz, 2-d; expected 16000 Hz mono"):
        speech_windows(tmp_path, 1, 100)
