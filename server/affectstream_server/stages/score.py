"""Score: each declared utterance gets one verdict, in the order in which they were declared.

Scoring may begin before the endpoint: from the first silence on, the utterance as it will be if the
silence holds. If it holds, the verdict is there when the endpoint is declared; the samples are the same
either way, so is the score.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from affectstream_server.observer import UNOBSERVED, SessionObserver
from affectstream_server.scoring.load import Share, Ticket
from affectstream_server.scoring.scorer import ModelFault, Scorer, ScoringError
from affectstream_server.stages.decide import Verdict
from affectstream_server.utterance import Utterance

_log = logging.getLogger(__name__)


class Explaining(Protocol):
    """What is asked for beside scores."""

    async def explained(self, utterance: Utterance, scoring: Awaitable[Verdict], deadline: float) -> Verdict:
        """What ``scoring`` gives and more, by ``deadline`` in `time.perf_counter`."""
        ...


@dataclass(slots=True)
class _Ahead:
    """A score that was begun before the endpoint."""

    utterance: Utterance
    task: asyncio.Task[Verdict]
    ticket: Ticket


class ScoringQueue:
    """The utterances of one stream on their way through the scorer.

    ``deliver`` is called once for each utterance, in order; ``deliver_provisional`` now and then for an
    open one, never after its own verdict. `close` drops what is left.
    """

    def __init__(
        self,
        scorer: Scorer,
        share: Share,
        *,
        deadline_ms: int,
        deliver: Callable[[Verdict], None],
        deliver_provisional: Callable[[Verdict, str], None],
    ) -> None:
        self._scorer = scorer
        self._share = share
        self._deadline_s = deadline_ms / 1_000
        self._deliver = deliver
        self._deliver_provisional = deliver_provisional
        self._jobs: list[tuple[Utterance, asyncio.Future[Verdict]]] = []
        self._ahead: dict[int, _Ahead] = {}
        self._provisional: dict[int, asyncio.Task[Verdict]] = {}
        self.explaining: Explaining | None = None
        """What finals carry beside their scores."""
        self.observer = UNOBSERVED
        """Is told of each score."""
        self.hold: Callable[[Utterance], Awaitable[None]] | None = None
        """Waited for, beside the score, before a final is delivered; None: nothing is."""
        self.used = 0
        """Speculative scores that became finals."""
        self.dropped = 0
        """Speculative scores that did not."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def unsettled_from(self) -> int | None:
        """Where the first utterance that waits for its verdict begins, on any channel; None: none does."""
        return min((utterance.bounds.audio_start for utterance, _ in self._jobs), default=None)

    def submit(self, utterance: Utterance, refusal: ScoringError | None = None) -> None:
        """Score an utterance whose endpoint was declared; its verdict follows all before it.

        With a ``refusal`` the model is not asked and the verdict is that.
        """
        self._end_provisional(utterance.channel)
        ahead = self._ahead.pop(utterance.channel, None)
        if ahead is not None and (refusal is not None or not _same(ahead.utterance, utterance)):
            self._drop(ahead)
            ahead = None
        loop = asyncio.get_running_loop()
        job: asyncio.Future[Verdict]
        if refusal is not None:
            job = loop.create_future()
            job.set_result(Verdict(utterance, None, refusal, time.perf_counter()))
        elif ahead is not None and ahead.task.done() and ahead.task.result().score is not None:
            self._count(used=True)
            job = loop.create_future()
            job.set_result(_as_final(ahead.task.result(), utterance, time.perf_counter()))
        else:
            if ahead is not None:
                ahead.ticket.hasten()
            job = loop.create_task(self._final(utterance, ahead))
        if self.hold is not None and refusal is None:
            job = _hold(job, self.hold, utterance)
        self._jobs.append((utterance, job))
        if job.done():
            self._deliver_in_order(job)
        else:
            job.add_done_callback(self._deliver_in_order)

    def speculate(self, utterance: Utterance) -> None:
        """Begin to score an utterance whose endpoint is not declared yet. One a channel."""
        self._ahead[utterance.channel] = self._begin(utterance, self.explaining)

    def is_ahead(self, channel: int) -> bool:
        """A speculative score of this channel was begun and may still be used."""
        return channel in self._ahead

    def speech_went_on(self, channel: int, *, provisional: bool) -> None:
        """The silence did not hold: the speculative score is provisional where wanted, or dropped."""
        ahead = self._ahead.pop(channel)
        if provisional:
            self._count(used=False)
            self._send_provisional(ahead.task, channel, "PAUSE")
        else:
            self._drop(ahead)

    def score_so_far(self, utterance: Utterance) -> None:
        """Score an open utterance as far as it was heard, for a provisional event. One a channel."""
        self._send_provisional(self._begin(utterance, None).task, utterance.channel, "INTERVAL")

    def close(self) -> None:
        """Cancel what was not delivered."""
        while self._jobs:
            self._jobs.pop(0)[1].cancel()
        for ahead in self._ahead.values():
            ahead.task.cancel()
        for task in self._provisional.values():
            task.cancel()
        self._ahead.clear()
        self._provisional.clear()

    async def drained(self) -> None:
        """Wait until every utterance submitted so far was delivered."""
        if self._jobs:
            await asyncio.wait([job for _, job in self._jobs])
            await asyncio.sleep(0)  # the deliveries run as callbacks of the jobs

    def _deliver_in_order(self, _: asyncio.Future[Verdict]) -> None:
        while self._jobs and self._jobs[0][1].done():
            job = self._jobs.pop(0)[1]
            if not job.cancelled():
                self._deliver(job.result())

    def _send_provisional(self, task: asyncio.Task[Verdict], channel: int, trigger: str) -> None:
        self._end_provisional(channel)
        self._provisional[channel] = task

        def send(done: asyncio.Task[Verdict]) -> None:
            if self._provisional.get(channel) is done:
                del self._provisional[channel]
                if not done.cancelled() and done.result().score is not None:
                    self._deliver_provisional(done.result(), trigger)

        task.add_done_callback(send)

    def _end_provisional(self, channel: int) -> None:
        task = self._provisional.pop(channel, None)
        if task is not None:
            task.cancel()

    def _drop(self, ahead: _Ahead) -> None:
        self._count(used=False)
        ahead.task.cancel()

    def _count(self, *, used: bool) -> None:
        self.used += used
        self.dropped += not used
        self.observer.speculated(used=used)

    async def _final(self, utterance: Utterance, ahead: _Ahead | None) -> Verdict:
        declared = time.perf_counter()
        if ahead is not None:
            try:
                verdict = await ahead.task
            except asyncio.CancelledError:
                ahead.task.cancel()
                raise
            if verdict.score is not None:
                self._count(used=True)
                return _as_final(verdict, utterance, declared)
            left_s = self._deadline_s - (time.perf_counter() - declared)
            if left_s <= 0:
                return Verdict(utterance, None, verdict.failure, time.perf_counter())
        else:
            left_s = self._deadline_s
        scoring = self._score_now(utterance, declared, left_s)
        if self.explaining is None:
            return await scoring
        return await self.explaining.explained(utterance, scoring, declared + self._deadline_s)

    async def _score_now(self, utterance: Utterance, declared: float, timeout_s: float) -> Verdict:
        with self._share.ticket(urgent=True) as ticket:
            verdict = await score_utterance(self._scorer, utterance, timeout_s, ticket, self.observer)
        if verdict.score is None:
            return verdict
        queue_ms = max(0.0, (verdict.scored_at - declared) * 1_000 - verdict.score.compute_ms)
        return replace(verdict, queue_ms=queue_ms)

    def _begin(self, utterance: Utterance, explaining: Explaining | None) -> _Ahead:
        """Begin to score an open utterance. It counts at once, and until its score is there."""
        ticket = self._share.ticket(urgent=False)
        loop = asyncio.get_running_loop()
        task = scoring = loop.create_task(
            score_utterance(self._scorer, utterance, self._deadline_s, ticket, self.observer)
        )
        scoring.add_done_callback(lambda _: ticket.leave())
        if explaining is not None:
            deadline = time.perf_counter() + self._deadline_s
            task = loop.create_task(explaining.explained(utterance, scoring, deadline))
            task.add_done_callback(lambda _: scoring.cancel())  # also where it never began
        return _Ahead(utterance, task, ticket)


async def score_utterance(
    scorer: Scorer,
    utterance: Utterance,
    timeout_s: float,
    ticket: Ticket,
    observer: SessionObserver = UNOBSERVED,
) -> Verdict:
    """Ask the model about one utterance; whatever goes wrong is the verdict's failure."""
    with observer.score(utterance, ahead=not ticket.urgent) as asked:
        told_id = observer.told(utterance.utterance_id)
        verdict = await _verdict(scorer, utterance, told_id, timeout_s, ticket)
        asked.answered(verdict)
    return verdict


async def _verdict(
    scorer: Scorer, utterance: Utterance, told_id: str, timeout_s: float, ticket: Ticket
) -> Verdict:
    failure: ScoringError
    try:
        score = await scorer.score(told_id, utterance.audio, timeout_s, ticket)
        return Verdict(utterance, score, None, time.perf_counter())
    except ScoringError as error:
        failure = error
    except Exception:  # noqa: BLE001 - one utterance's failure must not end its stream
        _log.exception("scoring failed: utterance %s", told_id)
        failure = ModelFault("the model could not be asked")
    return Verdict(utterance, None, failure, time.perf_counter())


def _hold(
    job: asyncio.Future[Verdict], hold: Callable[[Utterance], Awaitable[None]], utterance: Utterance
) -> asyncio.Future[Verdict]:
    """The verdict when both are over; one without a score waits for nothing."""

    async def held() -> Verdict:
        holding = asyncio.ensure_future(hold(utterance))
        try:
            verdict = await job
            if verdict.score is not None:
                await holding
            return verdict
        finally:
            holding.cancel()

    task = asyncio.get_running_loop().create_task(held())
    task.add_done_callback(lambda _: job.cancel())  # also where it never began
    return task


def _same(ahead: Utterance, declared: Utterance) -> bool:
    a, b = ahead.bounds, declared.bounds
    return (ahead.utterance_id, a.audio_start, a.audio_end) == (
        declared.utterance_id,
        b.audio_start,
        b.audio_end,
    )


def _as_final(verdict: Verdict, utterance: Utterance, declared: float) -> Verdict:
    """The verdict of a score from ahead of the endpoint, which was ``declared``; it is taken now."""
    now = time.perf_counter()
    waited_s, explain_ms = 0.0, verdict.explain_ms
    if explain_ms is not None:  # what of it came before the endpoint was no wait
        explained_at = verdict.scored_at + explain_ms / 1_000
        waited_s = max(0.0, explained_at - max(verdict.scored_at, declared))
        explain_ms = waited_s * 1_000
    return replace(
        verdict,
        utterance=utterance,
        scored_at=now - waited_s,
        queue_ms=None,
        speculated=True,
        explain_ms=explain_ms,
    )
