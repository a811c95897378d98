"""The rules of scoring on talks made by hand; times in tenths of a second."""

from __future__ import annotations

from quality.measure import Heard, score
from quality.talks import Span

TENTH = 1_600


def span(start: int, end: int) -> Span:
    return Span(start * TENTH, end * TENTH)


def heard(start: int, end: int, told: int) -> Heard:
    return Heard(span(start, end), told * TENTH)


def test_one_to_one_with_signed_errors() -> None:
    result = score([span(10, 20)], [heard(9, 22, 24)]).summary()
    assert (result["found"], result["one_to_one"]) == (1, 1)
    assert (result["start_ms"], result["end_ms"], result["told_ms"]) == (-100, 200, 400)


def test_two_hypotheses_split_an_utterance_and_cut_it_once() -> None:
    result = score([span(10, 20)], [heard(10, 14, 15), heard(16, 20, 21)])
    assert (result.found, result.split, result.cuts, result.one_to_one) == (1, 1, 1, 0)


def test_a_hypothesis_over_three_utterances_loses_two_boundaries() -> None:
    result = score([span(0, 10), span(11, 20), span(21, 30)], [heard(0, 30, 32)])
    assert (result.found, result.merged, result.one_to_one) == (3, 2, 0)


def test_an_overlap_below_a_tenth_of_a_second_finds_nothing_and_is_false() -> None:
    talk = [Span(16_000, 32_000)]
    result = score(talk, [Heard(Span(0, 17_599), 17_599)])
    assert (result.found, result.false) == (0, 1)
    assert score(talk, [Heard(Span(0, 17_600), 17_600)]).found == 1
