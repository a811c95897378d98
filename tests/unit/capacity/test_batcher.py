"""The simulated inference server against what queueing theory says, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest

from affectstream.capacity.batcher import Scorer, best_rate, finals_ms, waits_s


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_without_batches_it_waits_as_an_m_d_1_queue_does(load: float) -> None:
    scorer = Scorer(100.0, overhead=0.0, sizes=(1,), delay_s=0.0)
    mean_s = float(np.mean([waits_s(scorer, load * 100.0, seed).mean() for seed in range(5)]))
    assert mean_s == pytest.approx(0.01 + load * 0.01 / (2 * (1 - load)), rel=0.06)


def test_nobody_waits_longer_than_the_delay_and_two_batches_where_there_is_room() -> None:
    scorer = Scorer(1_000.0)
    assert waits_s(scorer, 10.0).max() <= scorer.delay_s + 2 * scorer.batch_s(4)


def test_batches_carry_more_than_single_windows_could() -> None:
    scorer = Scorer(100.0, overhead=4.0)
    alone_per_s = 1 / scorer.batch_s(1)
    assert np.percentile(waits_s(scorer, 3 * alone_per_s), 99) < 1.0
    assert np.percentile(waits_s(scorer, 1.2 * scorer.most_per_s), 99) > 5.0


def test_a_score_begun_ahead_is_waited_for_only_where_it_takes_longer() -> None:
    waits = np.array([0.05, 0.15] * 100)
    assert finals_ms(waits, 1.0, 100.0).tolist() == pytest.approx([0.0, 50.0] * 100)
    assert finals_ms(waits, 0.0, 100.0).tolist() == pytest.approx([50.0, 150.0] * 100)


def test_the_best_rate_keeps_the_objective_and_little_more_breaks_it() -> None:
    scorer = Scorer(200.0)
    rate = best_rate(scorer, hit_share=0.7, lead_ms=100, objective_ms=150)
    late = [np.percentile(finals_ms(waits_s(scorer, one), 0.7, 100), 99) for one in (rate, 1.1 * rate)]
    assert late[0] <= 150 < late[1]
    assert best_rate(Scorer(4.0), hit_share=0.0, lead_ms=0, objective_ms=150) == 0.0
