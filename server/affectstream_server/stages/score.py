"""Score: each declared utterance gets one verdict, in the order in which they were declared."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from affectstream_server.scoring.scorer import ModelFault, Scorer, ScoringError
from affectstream_server.stages.decide import TooShort, Verdict
from affectstream_server.timeline import ms_of_samples, samples_of_ms
from affectstream_server.utterance import Utterance

_log = logging.getLogger(__name__)


class ScoringQueue:
    """The utterances of one stream on their way through the scorer.

    ``deliver`` is called once for each utterance, in order. `close` drops what is left.
    """

    def __init__(self, scorer: Scorer, *, deadline_ms: int, deliver: Callable[[Verdict], None]) -> None:
        self._scorer = scorer
        self._deadline_s = deadline_ms / 1_000
        self._deliver = deliver
        self._jobs: deque[tuple[Utterance, asyncio.Task[Verdict]]] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def oldest(self) -> Utterance | None:
        """The utterance whose verdict comes next."""
        return self._jobs[0][0] if self._jobs else None

    def submit(self, utterance: Utterance, min_utterance_ms: int) -> None:
        """Score an utterance; its verdict is delivered when all before it were.

        With less speech than ``min_utterance_ms`` the model is not asked.
        """
        score = self._score(utterance, samples_of_ms(min_utterance_ms), time.perf_counter())
        task = asyncio.get_running_loop().create_task(score)
        self._jobs.append((utterance, task))
        task.add_done_callback(self._deliver_in_order)

    def close(self) -> None:
        """Cancel what was not delivered."""
        while self._jobs:
            self._jobs.popleft()[1].cancel()

    async def drained(self) -> None:
        """Wait until every utterance submitted so far was delivered."""
        if self._jobs:
            await asyncio.wait([task for _, task in self._jobs])
            await asyncio.sleep(0)  # the deliveries run as callbacks of the tasks

    def _deliver_in_order(self, _: asyncio.Task[Verdict]) -> None:
        while self._jobs and self._jobs[0][1].done():
            task = self._jobs.popleft()[1]
            if not task.cancelled():
                self._deliver(task.result())

    async def _score(self, utterance: Utterance, min_speech: int, declared: float) -> Verdict:
        speech = utterance.bounds.speech_samples
        failure: ScoringError
        try:
            if speech < min_speech:
                raise TooShort(
                    f"{ms_of_samples(speech):.0f} ms of speech, "
                    f"scored from {ms_of_samples(min_speech):.0f} ms (min_utterance_ms)"
                )
            score = await self._scorer.score(utterance.utterance_id, utterance.audio, self._deadline_s)
        except ScoringError as error:
            failure = error
        except Exception:  # noqa: BLE001 - one utterance's failure must not end its stream
            _log.exception("scoring failed: utterance %s", utterance.utterance_id)
            failure = ModelFault("the model could not be asked")
        else:
            now = time.perf_counter()
            queue_ms = max(0.0, (now - declared) * 1_000 - score.compute_ms)
            return Verdict(utterance, score, None, queue_ms, now)
        return Verdict(utterance, None, failure, None, time.perf_counter())
