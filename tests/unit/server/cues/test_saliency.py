"""Where a score rests: holes, what they change, and the spans that come of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from affectstream_server.cues.saliency import (
    MOST_HOLES,
    MOST_SAMPLES,
    MOST_SPANS,
    Span,
    attended,
    holes,
    inside,
    spans,
    without,
)

SECOND = 16_000


@given(st.integers(0, 30 * SECOND))
def test_every_sample_is_left_out_twice_within_the_bound(samples: int) -> None:
    found = holes(samples)
    assert len(found) <= MOST_HOLES
    if samples < 0.3 * SECOND:
        assert not found
    if not found:
        return
    assert len(found) * samples <= max(MOST_SAMPLES, 4 * samples)
    times = np.zeros(samples, int)
    for hole in found:
        times[hole.start : hole.end] += 1
    assert (times == 2).all()


def test_a_hole_is_silent_and_the_rest_is_as_it_was() -> None:
    audio = np.full(SECOND, 10_000, np.int16)
    left = without(audio, Span(4_000, 8_000))
    assert not left[4_000:8_000].any()
    assert (left[:3_900] == 10_000).all()
    assert (left[8_100:] == 10_000).all()
    assert np.abs(np.diff(left.astype(int))).max() < 10_000 / 20, "no click"
    assert (audio == 10_000).all()


@pytest.mark.parametrize("hole", [Span(0, 4_000), Span(12_000, 16_000), Span(20, 15_990)])
def test_a_hole_may_lie_at_the_edge(hole: Span) -> None:
    left = without(np.full(SECOND, 10_000, np.int16), hole)
    assert not left[hole.start : hole.end].any()


def test_what_the_label_rests_on_is_found() -> None:
    samples = 3 * SECOND
    found = holes(samples)
    loud = Span(SECOND, round(1.5 * SECOND))
    shared = [max(0, min(h.end, loud.end) - max(h.start, loud.start)) / (h.end - h.start) for h in found]
    chosen = spans(samples, 0.8, 0.8 * np.exp(-2 * np.array(shared)))
    assert len(chosen) == 1
    assert chosen[0].start == pytest.approx(loud.start, abs=0.3 * SECOND)
    assert chosen[0].end == pytest.approx(loud.end, abs=0.3 * SECOND)
    assert 0.6 <= chosen[0].weight <= 1


def test_where_nothing_matters_there_are_no_spans() -> None:
    assert spans(3 * SECOND, 0.8, np.full(12, 0.8)) == []
    assert spans(3 * SECOND, 0.4, np.full(12, 0.9)) == [], "every hole makes the label surer"


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=MOST_HOLES),
    st.floats(0, 1),
    st.integers(round(0.3 * SECOND), 30 * SECOND),
)
def test_spans_are_few_in_order_and_share_one_weight(left: list[float], whole: float, samples: int) -> None:
    found = spans(samples, whole, np.array(left))
    assert len(found) <= MOST_SPANS
    assert sum(span.weight for span in found) <= 1 + 1e-6
    bounds = [bound for span in found for bound in (span.start, span.end)]
    assert bounds == sorted(set(bounds)), "apart, in order, none empty"
    assert all(0 <= bound <= samples for bound in bounds)


def test_what_the_model_looked_at_most_is_found() -> None:
    attention = np.full(150, 0.1)
    attention[50:75] = 2.0
    (chosen,) = attended(3 * SECOND, attention)
    assert chosen.start == pytest.approx(SECOND, abs=0.3 * SECOND)
    assert chosen.end == pytest.approx(1.5 * SECOND, abs=0.3 * SECOND)
    assert chosen.weight == pytest.approx(attended_share(attention, chosen), abs=1e-3)


def test_a_model_that_looked_everywhere_alike_has_no_spans() -> None:
    assert attended(3 * SECOND, np.full(150, 1 / 1_500)) == []
    assert attended(3 * SECOND - 7, np.full(150, 1 / 1_500)) == [], "nor where the last frame is short"
    assert attended(3 * SECOND, np.zeros(150)) == []
    assert attended(round(0.29 * SECOND), np.arange(15.0)) == [], "too short for parts"


@given(st.integers(round(0.3 * SECOND), 30 * SECOND), st.data())
def test_spans_of_attention_are_few_in_order_and_hold_their_share(samples: int, data: st.DataObject) -> None:
    frames = -(-samples // 320)
    attention = np.random.default_rng(data.draw(st.integers(0, 99))).dirichlet(np.full(frames, 0.3))
    found = attended(samples, attention)
    assert len(found) <= MOST_SPANS
    bounds = [bound for span in found for bound in (span.start, span.end)]
    assert bounds == sorted(set(bounds))
    assert all(0 <= bound <= samples for bound in bounds)
    whole = attended_share(attention, Span(0, samples))
    for span in found:
        assert span.weight == pytest.approx(attended_share(attention, span) / whole, abs=1e-2)


def attended_share(attention: NDArray[np.float64], span: Span) -> float:
    """Of all frames, sample by sample."""
    each = np.repeat(attention / 320, 320)
    return float(each[span.start : span.end].sum() / each.sum())


def test_frames_belong_to_the_span_that_holds_their_middle() -> None:
    mask = inside([Span(0, 1_600), Span(8_000, 9_600)], 97)
    assert np.flatnonzero(mask).tolist() == [*range(8), *range(48, 58)]
