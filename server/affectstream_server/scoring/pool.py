"""Threads that compute in fair order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from affectstream_server.scoring.fair import FairQueue
from affectstream_server.scoring.gate import displaced_error
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import ScorerOverloaded

Result = TypeVar("Result")


class FairPool(Generic[Result]):
    """A few threads, at most ``limit`` jobs that wait for one, and always the one whose turn it is next.

    Jobs in the background, at most as many again, are begun only while no other waits.
    """

    def __init__(self, threads: int, limit: int, *, name: str = "score") -> None:
        self._waiting: FairQueue[_Job[Result]] = FairQueue(limit)
        self._background: FairQueue[_Job[Result]] = FairQueue(limit)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.held = 0
        """Jobs that somebody waits for."""

    async def run(
        self,
        ticket: Ticket,
        cost: float,
        timeout_s: float | None,
        work: Callable[[], Result],
        *,
        background: bool = False,
    ) -> Result:
        """Do ``work`` in its turn. Raises `ScorerOverloaded`, and `TimeoutError`; None waits for ever.

        Work that has begun cannot be stopped: the ticket is held until it ends.
        """
        job = _Job(work)
        self.held += 1
        waiting = self._background if background else self._waiting
        try:
            return await self._in_turn(waiting, ticket, cost, timeout_s, job)
        finally:
            self.held -= 1

    async def _in_turn(
        self,
        waiting: FairQueue[_Job[Result]],
        ticket: Ticket,
        cost: float,
        timeout_s: float | None,
        job: _Job[Result],
    ) -> Result:
        displaced = waiting.push(ticket, cost, job)
        if displaced is not None:
            displaced.fail(displaced_error())
        _leave_after(job.answer, ticket)
        try:
            self._threads.submit(self._work)
            return await asyncio.wait_for(asyncio.wrap_future(job.answer), timeout_s)
        finally:
            waiting.discard(ticket)
            job.answer.cancel()

    def close(self) -> None:
        """Drop what waits; what was begun ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for waiting in (self._waiting, self._background):
            for job in waiting.clear():
                job.answer.cancel()

    def _work(self) -> None:
        """Called once for each job, and takes another one where that has gone or another's turn is it."""
        job = self._waiting.pop() or self._background.pop()
        if job is not None:
            job.run()


@dataclass(slots=True, eq=False)
class _Job(Generic[Result]):
    work: Callable[[], Result]
    answer: Future[Result] = field(default_factory=Future)

    def run(self) -> None:
        if self.answer.set_running_or_notify_cancel():
            try:
                self.answer.set_result(self.work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
                self.answer.set_exception(error)

    def fail(self, error: ScorerOverloaded) -> None:
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


def _leave_after(answer: Future[Result], ticket: Ticket) -> None:
    """Hold the ticket until the thread is done, though nobody may wait for the answer any more."""
    loop = asyncio.get_running_loop()
    ticket.hold()

    def leave(_: Future[Result]) -> None:
        try:
            loop.call_soon_threadsafe(ticket.leave)
        except RuntimeError:
            return  # the loop is closed, and nothing counts any more

    answer.add_done_callback(leave)
