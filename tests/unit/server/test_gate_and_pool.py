"""Slots and threads in fair order: no place is kept that nobody uses, and work counts until it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from functools import partial

import pytest

from affectstream_server.scoring.gate import Gate
from affectstream_server.scoring.load import Load, Ticket
from affectstream_server.scoring.pool import FairPool
from affectstream_server.scoring.scorer import ScorerOverloaded


async def inside(gate: Gate, name: str, order: list[str], until: asyncio.Event, timeout_s: float = 5) -> None:
    async with gate.place(Ticket(name), 1.0, timeout_s):
        order.append(name)
        await until.wait()


def start(gate: Gate, names: str, order: list[str], until: asyncio.Event) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(inside(gate, name, order, until)) for name in names]


async def test_slots_go_round_by_tenant() -> None:
    gate, order, until = Gate(1, 100), list[str](), asyncio.Event()
    flood = start(gate, "bbbbbb", order, until)
    await asyncio.sleep(0)
    calm = start(gate, "a", order, until)
    await asyncio.sleep(0)
    assert (order, gate.held) == (["b"], 7)
    until.set()
    await asyncio.gather(*flood, *calm)
    assert order[:3].count("a") == 1
    assert gate.held == 0


async def test_a_turn_that_nobody_takes_goes_to_the_next() -> None:
    gate, order, until = Gate(1, 100), list[str](), asyncio.Event()
    first, second, third = start(gate, "xyz", order, until)
    await asyncio.sleep(0)
    until.set()
    await asyncio.sleep(0)  # x leaves, and y was told that it is its turn
    second.cancel()
    await asyncio.gather(first, third)
    assert order == ["x", "z"]
    assert second.cancelled()
    assert gate.held == 0


async def test_who_waits_too_long_leaves() -> None:
    gate, order, until = Gate(1, 100), list[str](), asyncio.Event()
    (first,) = start(gate, "x", order, until)
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await inside(gate, "y", order, until, timeout_s=0.01)
    assert gate.held == 1
    until.set()
    await first


async def test_a_full_gate_refuses_the_flood_and_lets_the_other_wait() -> None:
    gate, order, until = Gate(1, 2), list[str](), asyncio.Event()
    flood = start(gate, "bbbb", order, until)
    await asyncio.sleep(0)
    calm = start(gate, "a", order, until)
    await asyncio.sleep(0)
    until.set()
    results = await asyncio.gather(*flood, return_exceptions=True)
    await calm[0]
    refused = [str(result) for result in results if isinstance(result, ScorerOverloaded)]
    assert len(refused) == 2, "one of four has a slot and one waits"
    assert any("over its tenant's share" in one for one in refused)


@pytest.fixture
async def pool() -> AsyncIterator[FairPool[str]]:
    pool = FairPool[str](1, 4)
    yield pool
    pool.close()


async def test_cancelled_work_counts_until_its_thread_is_done(pool: FairPool[str]) -> None:
    load, go_on, began = Load(1), threading.Event(), threading.Event()

    def work() -> str:
        began.set()
        go_on.wait(5)
        return "done"

    async def ask() -> str:
        with load.share("t").ticket(urgent=False) as ticket:
            return await pool.run(ticket, 1.0, 5.0, work)

    asking = asyncio.create_task(ask())
    await asyncio.to_thread(began.wait, 5)
    asking.cancel()
    await asyncio.wait([asking])
    assert (load.in_flight, load.has_room("t")) == (1, False), "the thread still computes"
    go_on.set()
    async with asyncio.timeout(30):
        while load.in_flight:
            await asyncio.sleep(0.01)
    assert (load.in_flight, load.has_room("t")) == (0, True)


async def test_waiting_work_that_is_cancelled_is_never_begun_and_counts_no_more(pool: FairPool[str]) -> None:
    load, go_on = Load(1), threading.Event()
    done: list[str] = []

    async def ask(name: str) -> None:
        def work() -> str:
            go_on.wait(5)
            done.append(name)
            return name

        with load.share("t").ticket(urgent=True) as ticket:
            assert await pool.run(ticket, 1.0, 5.0, work) == name

    tasks = [asyncio.create_task(ask(name)) for name in ("x", "y", "z")]
    while load.in_flight < 3:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    await asyncio.sleep(0)
    assert load.in_flight == 2
    go_on.set()
    await asyncio.gather(tasks[0], tasks[2])
    await asyncio.sleep(0.01)
    assert (done, load.in_flight) == (["x", "z"], 0)


async def test_a_failure_is_raised_where_it_is_awaited_and_the_thread_goes_on(pool: FairPool[str]) -> None:
    def fails() -> str:
        raise ValueError("as told")

    with pytest.raises(ValueError, match="as told"):
        await pool.run(Ticket(), 1.0, 5.0, fails)
    assert await pool.run(Ticket(), 1.0, 5.0, lambda: "well") == "well"


async def test_a_closed_pool_lets_go_of_what_waits(pool: FairPool[str]) -> None:
    go_on = threading.Event()

    def work() -> str:
        go_on.wait(5)
        return "done"

    asking = [asyncio.create_task(pool.run(Ticket(), 1.0, 5.0, work)) for _ in range(3)]
    await asyncio.sleep(0.05)
    pool.close()
    await asyncio.wait(asking[1:], timeout=30)
    assert all(task.cancelled() for task in asking[1:])
    go_on.set()
    assert await asking[0] == "done"


def test_a_tenants_optional_work_has_its_part_of_the_room() -> None:
    load = Load(4)
    flood = [load.share("flood").ticket(urgent=True) for _ in range(40)]
    assert not load.has_room("flood")
    calm = []
    while load.has_room("calm"):
        calm.append(load.share("calm").ticket(urgent=False))
    assert len(calm) == 2, "its half of four"
    many = [load.share(str(number)).ticket(urgent=True) for number in range(100)]
    assert load.has_room("another"), "one each at least"
    for ticket in (*flood, *calm, *many):
        ticket.leave()
    assert load.in_flight == 0
    assert not Load(0).has_room("t"), "none at all where none is wanted"


async def test_the_background_waits_for_everybody_else(pool: FairPool[str]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> str:
        begun.set()
        go_on.wait(5)
        return ""

    def note(name: str) -> str:
        order.append(name)
        return name

    jobs = [asyncio.create_task(pool.run(Ticket("a"), 1.0, None, hold))]
    while not begun.is_set():
        await asyncio.sleep(0.001)
    jobs.append(
        asyncio.create_task(pool.run(Ticket("a"), 1.0, None, lambda: note("behind"), background=True))
    )
    await asyncio.sleep(0)
    jobs += [
        asyncio.create_task(pool.run(Ticket(name), 9.0, None, partial(note, name)))
        for name in ("one", "two", "three")
    ]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*jobs)
    assert order[-1] == "behind"
    assert len(order) == 4
