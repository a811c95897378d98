"""Whose score comes next: shares of the work in virtual time, order, bounds, and who makes place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream_server.scoring.fair import FairQueue
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import ScorerOverloaded

Queue = FairQueue[str]


def put(
    queue: Queue,
    tenant: str,
    item: str,
    *,
    cost: float = 1.0,
    stream: object = 0,
    weight: float = 1.0,
    urgent: bool = True,
) -> Ticket:
    ticket = Ticket(tenant, stream, weight, urgent)
    queue.push(ticket, cost, item)
    return ticket


def rest(queue: Queue) -> list[str]:
    return [str(queue.pop()) for _ in range(len(queue))]


def work_done(queue: Queue, costs: dict[str, float], until: float) -> dict[str, float]:
    """Serve until so much work is done, while five scores of each tenant wait."""
    done = dict.fromkeys(costs, 0.0)
    for name, cost in costs.items():
        for _ in range(5):
            put(queue, name, name, cost=cost, weight=WEIGHTS.get(name, 1.0))
    while sum(done.values()) < until:
        served = queue.pop()
        assert served is not None
        done[served] += costs[served]
        put(queue, served, served, cost=costs[served], weight=WEIGHTS.get(served, 1.0))
    return done


WEIGHTS = {"heavy": 3.0}


def test_a_flood_does_not_delay_the_one_who_comes_after_it() -> None:
    queue = Queue(1_000)
    for number in range(500):
        put(queue, "flood", f"b{number}", cost=10)
    assert queue.pop() == "b0"
    put(queue, "calm", "a0")
    assert queue.pop() == "a0", "behind one that was begun, before 499 that wait"


def test_tenants_share_the_work_not_the_number_of_scores() -> None:
    queue, costs = Queue(100), {"long": 8.0, "short": 1.0}
    done = work_done(queue, costs, 1_000)
    assert done["long"] == pytest.approx(done["short"], abs=16)


def test_a_tenant_of_three_times_the_weight_gets_three_times_the_work() -> None:
    queue, costs = Queue(100), {"heavy": 2.0, "light": 2.0}
    done = work_done(queue, costs, 1_000)
    assert done["heavy"] == pytest.approx(3 * done["light"], abs=24)


def test_one_who_was_away_has_saved_nothing_up() -> None:
    queue = Queue(1_000)
    for number in range(20):
        put(queue, "busy", f"b{number}")
    for _ in range(10):
        queue.pop()
    for number in range(5):
        put(queue, "back", f"a{number}")
    assert sum(item.startswith("b") for item in rest(queue)[:6]) >= 2


def test_one_who_leaves_and_comes_back_is_not_served_anew() -> None:
    queue = Queue(1_000)
    for number in range(10):
        put(queue, "busy", f"b{number}")
    put(queue, "sly", "a0", cost=5)
    served = [queue.pop() for _ in range(2)]
    assert "a0" in served
    put(queue, "sly", "a1")
    assert rest(queue).index("a1") >= 4, "its five units of work are not forgotten"


def test_within_a_tenant_streams_take_turns_and_each_keeps_its_order() -> None:
    queue = Queue(100)
    for number in range(4):
        put(queue, "t", f"x{number}", stream="x")
    put(queue, "t", "y0", stream="y")
    order = rest(queue)
    assert order.index("y0") <= 1
    assert [item for item in order if item[0] == "x"] == ["x0", "x1", "x2", "x3"]


def test_finals_go_before_what_may_be_dropped_within_a_tenant_and_not_across() -> None:
    queue = Queue(100)
    put(queue, "t", "maybe", urgent=False)
    put(queue, "t", "final")
    put(queue, "other", "its maybe", urgent=False)
    for number in range(8):
        put(queue, "t", f"final {number}")
    order = rest(queue)
    assert order.index("final") < order.index("maybe")
    assert order.index("its maybe") <= 1, "another's flood of finals does not keep it waiting"


def test_a_score_that_a_final_begins_to_wait_for_is_hastened() -> None:
    queue = Queue(100)
    ticket = put(queue, "t", "ahead", urgent=False)
    put(queue, "t", "final", stream=1)
    put(queue, "t", "maybe", stream=2, urgent=False)
    ticket.hasten()
    assert set(rest(queue)[:2]) == {"ahead", "final"}
    ticket.hasten()
    assert queue.pop() is None


def test_where_it_is_full_the_flood_makes_place() -> None:
    queue = Queue(10)
    for number in range(10):
        put(queue, "flood", f"b{number}")
    with pytest.raises(ScorerOverloaded, match="10 utterances are waiting, at most 10 may"):
        put(queue, "flood", "b10")
    for number in range(5):
        assert queue.push(Ticket("calm"), 1.0, f"a{number}") == f"b{9 - number}", "its newest"
    with pytest.raises(ScorerOverloaded):
        put(queue, "calm", "a5")
    assert len(queue) == 10
    assert sorted(rest(queue)) == [*(f"a{n}" for n in range(5)), *(f"b{n}" for n in range(5))]


def test_where_it_is_full_a_final_displaces_what_may_be_dropped_and_never_the_reverse() -> None:
    queue = Queue(2)
    put(queue, "t", "maybe", urgent=False)
    put(queue, "t", "final")
    assert queue.push(Ticket("t"), 1.0, "another final") == "maybe"
    with pytest.raises(ScorerOverloaded):
        put(queue, "new", "its maybe", urgent=False)


def test_one_who_gives_up_leaves_at_once() -> None:
    queue = Queue(2)
    tickets = [put(queue, "t", "a"), put(queue, "u", "b")]
    queue.discard(tickets[0])
    queue.discard(tickets[0])
    put(queue, "t", "c")
    assert sorted(rest(queue)) == ["b", "c"]


def test_what_gave_up_takes_no_memory_while_nothing_is_served() -> None:
    queue = Queue(10)
    put(queue, "stuck", "s")
    for number in range(10_000):
        queue.discard(put(queue, f"tenant {number}", "x", stream=number))
        queue.discard(put(queue, "stuck", "x", stream=number))
    assert len(queue._turns._heap) < 200
    assert len(queue._tenants["stuck"].urgent._turns._heap) < 200
    assert rest(queue) == ["s"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("push", "pop", "discard", "hasten")),
            st.integers(0, 3),
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_nothing_is_lost_or_doubled_and_no_final_waits_for_what_may_be_dropped(
    steps: list[tuple[str, int, int, bool]],
) -> None:
    queue = FairQueue[int](8)
    waiting: dict[int, Ticket] = {}
    for number, (step, tenant, stream, urgent) in enumerate(steps):
        if step == "push":
            ticket = Ticket(str(tenant), stream, 1.0 + tenant, urgent)
            try:
                displaced = queue.push(ticket, 1.0 + stream, number)
            except ScorerOverloaded:
                continue
            waiting[number] = ticket
            if displaced is not None:
                del waiting[displaced]
        elif step == "pop":
            popped = queue.pop()
            assert (popped is None) == (not waiting)
            if popped is not None:
                mine = waiting.pop(popped)
                assert mine.urgent or not any(t.urgent for t in waiting.values() if t.tenant == mine.tenant)
        elif waiting:
            oldest = next(iter(waiting))
            if step == "discard":
                queue.discard(waiting.pop(oldest))
            else:
                waiting[oldest].hasten()
        assert len(queue) == len(waiting)
    assert sorted(queue.clear()) == sorted(waiting)
