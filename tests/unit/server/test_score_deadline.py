"""An utterance has one deadline, from its endpoint on, though a score was begun before and failed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from affectstream_server.scoring.load import Load, Ticket
from affectstream_server.scoring.scorer import ModelFault, ModelInfo, Score, ScorerUnavailable, checked_score
from affectstream_server.stages.decide import Verdict
from affectstream_server.stages.decode import Samples
from affectstream_server.stages.score import ScoringQueue
from affectstream_server.utterance import Utterance
from tests.unit.server.test_score_and_decide import MODEL, utterance


class FailsFirst:
    """Fails the first time, after a while, and answers from then on."""

    model: ModelInfo = MODEL

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        self.timeouts: list[float] = []

    async def score(
        self,
        utterance_id: str,  # noqa: ARG002
        audio: Samples,  # noqa: ARG002
        timeout_s: float,
        ticket: Ticket | None = None,  # noqa: ARG002
    ) -> Score:
        self.timeouts.append(timeout_s)
        if len(self.timeouts) == 1:
            await asyncio.sleep(self.wait_s)
            raise ScorerUnavailable("gone")
        rows = (np.array(row, np.float32) for row in ([1, 0, 0, 0], [0.5], [1, 2]))
        return checked_score(MODEL, *rows, compute_ms=1.0, queue_ms=0.0)

    async def close(self) -> None:
        return


async def verdict_of(scorer: FailsFirst) -> Verdict:
    verdicts: list[Verdict] = []
    queue = ScoringQueue(
        scorer,
        Load(optional_below=8).share(),
        deadline_ms=200,
        deliver=verdicts.append,
        deliver_provisional=lambda *_: None,
    )
    queue.speculate(utterance(0))
    await asyncio.sleep(0)
    queue.submit(utterance(0))
    await queue.drained()
    (verdict,) = verdicts
    return verdict


@pytest.mark.fault("Triton slow")
async def test_the_second_try_gets_what_the_first_left() -> None:
    scorer = FailsFirst(0.1)
    assert (await verdict_of(scorer)).score is not None
    first, second = scorer.timeouts
    assert first == 0.2
    assert second <= 0.101


async def test_when_nothing_is_left_the_failure_is_the_verdict() -> None:
    scorer = FailsFirst(0.25)
    verdict = await verdict_of(scorer)
    assert isinstance(verdict.failure, ScorerUnavailable)
    assert not isinstance(verdict.failure, ModelFault)
    assert len(scorer.timeouts) == 1


async def test_a_session_that_ends_as_its_utterance_does_leaves_no_score_behind() -> None:
    load = Load(optional_below=8)
    queue = ScoringQueue(
        FailsFirst(30),
        load.share(),
        deadline_ms=60_000,
        deliver=lambda _: None,
        deliver_provisional=lambda *_: None,
    )

    async def words(_: Utterance) -> None:
        await asyncio.sleep(30)

    queue.hold = words
    queue.submit(utterance(0))
    queue.close()
    await asyncio.sleep(0.1)
    assert load.in_flight == 0
