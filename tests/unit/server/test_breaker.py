"""The breaker and the retry budget, in virtual time."""

from __future__ import annotations

import pytest

from affectstream_server.scoring.breaker import (
    FAILURES,
    LEAST_CALLS,
    OPEN_S,
    WINDOW_S,
    Breaker,
    RetryBudget,
    State,
)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def state(breaker: Breaker) -> State:
    return breaker.state


def begin(breaker: Breaker) -> int:
    """A call that is admitted."""
    its_pass = breaker.admit()
    assert its_pass is not None
    return its_pass


def call(breaker: Breaker, *, ok: bool) -> None:
    its_pass = begin(breaker)
    if ok:
        breaker.succeeded(its_pass)
    else:
        breaker.failed(its_pass)


@pytest.mark.fault("Triton slow")
def test_five_failures_in_a_row_open_it_and_four_do_not(breaker: Breaker) -> None:
    for _ in range(FAILURES - 1):
        call(breaker, ok=False)
    assert state(breaker) is State.CLOSED
    call(breaker, ok=True)
    for _ in range(FAILURES - 1):
        call(breaker, ok=False)
    assert state(breaker) is State.CLOSED
    call(breaker, ok=False)
    assert state(breaker) is State.OPEN
    assert not breaker.admit()


@pytest.mark.fault("Triton slow")
def test_half_of_ten_seconds_open_it(breaker: Breaker, clock: Clock) -> None:
    for _ in range(LEAST_CALLS // 2):
        call(breaker, ok=True)
        clock.now += 0.1
        call(breaker, ok=False)
    assert state(breaker) is State.OPEN


def test_failures_that_are_older_than_the_window_do_not_count(breaker: Breaker, clock: Clock) -> None:
    for _ in range(FAILURES - 1):
        call(breaker, ok=False)
    clock.now += WINDOW_S + 0.1
    for _ in range(LEAST_CALLS):
        call(breaker, ok=True)
    call(breaker, ok=False)
    assert state(breaker) is State.CLOSED


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    for _ in range(FAILURES):
        call(breaker, ok=False)
    return breaker


@pytest.mark.fault("Triton slow")
def test_half_open_lets_one_probe_through_whose_success_closes_it(opened: Breaker, clock: Clock) -> None:
    clock.now += OPEN_S
    assert state(opened) is State.HALF_OPEN
    probe = begin(opened)
    assert not opened.admit()
    opened.succeeded(probe)
    assert state(opened) is State.CLOSED
    call(opened, ok=False)  # what was before is forgotten
    assert state(opened) is State.CLOSED


def test_a_probe_that_fails_keeps_it_open_as_long_again(opened: Breaker, clock: Clock) -> None:
    clock.now += OPEN_S
    call(opened, ok=False)
    assert state(opened) is State.OPEN
    clock.now += OPEN_S - 0.01
    assert not opened.admit()
    clock.now += 0.01
    assert opened.admit()


def test_a_probe_that_is_given_up_makes_room_for_another(opened: Breaker, clock: Clock) -> None:
    clock.now += OPEN_S
    opened.abandoned(begin(opened))
    assert opened.admit()


@pytest.mark.fault("Triton slow")
def test_calls_from_before_it_opened_neither_close_it_nor_take_the_probe_s_place(
    breaker: Breaker, clock: Clock
) -> None:
    late, given_up, wrong = (begin(breaker) for _ in range(3))
    for _ in range(FAILURES):
        call(breaker, ok=False)
    breaker.succeeded(late)
    assert state(breaker) is State.OPEN
    clock.now += OPEN_S
    probe = begin(breaker)
    breaker.abandoned(given_up)
    assert not breaker.admit(), "the probe is on its way"
    breaker.failed(wrong)
    assert state(breaker) is State.HALF_OPEN, "the probe decides"
    breaker.succeeded(probe)
    assert state(breaker) is State.CLOSED


def test_what_was_asked_before_it_closed_does_not_open_it_again(opened: Breaker, clock: Clock) -> None:
    clock.now += OPEN_S
    probe = begin(opened)
    opened.close()
    opened.failed(probe)
    for _ in range(FAILURES - 1):
        call(opened, ok=False)
    assert state(opened) is State.CLOSED


def test_it_can_be_closed_by_who_knows_better(opened: Breaker) -> None:
    opened.close()
    assert opened.admit()
    assert state(opened) is State.CLOSED


def test_retries_are_a_share_of_the_calls_after_the_reserve() -> None:
    budget = RetryBudget(0.1, reserve=3)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    for _ in range(11):
        budget.earn()
    assert budget.spend()
    assert not budget.spend()


def test_a_share_of_nothing_never_retries_once_the_reserve_is_gone() -> None:
    budget = RetryBudget(0.0, reserve=0)
    for _ in range(100):
        budget.earn()
    assert not budget.spend()
