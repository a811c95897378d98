"""An utterance's score at Triton with parts of it left out: behind all other work, and few at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream_server.cues.saliency import Span, without
from affectstream_server.scoring.gate import Gate
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import ModelFault, ScorerOverloaded, ScorerUnavailable, ScoreTooLate
from affectstream_server.scoring.triton_client import QueueFull, TimedOut, TritonClient, TritonError
from affectstream_server.scoring.triton_watch import Serving, score_of
from affectstream_server.stages.decode import Samples

_SHARE: Final = 4
"""Parts take at most one in four of the places at the model."""
_REQUEST_ID: Final = "part"


class Parts:
    """Asks a model about parts. What goes wrong here is no evidence for the breaker: nobody's score waits."""

    def __init__(self, client: TritonClient, name: str, gate: Gate, *, places: int, max_pending: int) -> None:
        """``gate`` is where scores wait for the model's ``places``."""
        self._client = client
        self._name = name
        self._gate = gate
        self._own = Gate(max(1, places // _SHARE), max_pending)

    async def score(
        self, serving: Serving, audio: Samples, holes: Sequence[Span], ticket: Ticket, timeout_s: float
    ) -> NDArray[np.float32]:
        """Probabilities ``[holes, labels]`` of int16 ``[n]`` with each hole silent. Raises `ScoringError`."""
        until = time.perf_counter() + timeout_s
        asking = [
            asyncio.ensure_future(self._ask(serving, without(audio, hole), ticket, until)) for hole in holes
        ]
        try:
            return np.array(await asyncio.gather(*asking))
        except (TimeoutError, TimedOut):
            raise ScoreTooLate("not ready in time") from None
        except QueueFull:
            raise ScorerOverloaded("the inference server's queue is full") from None
        except TritonError:
            raise ScorerUnavailable("the inference server did not answer for a part of it") from None
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, serving: Serving, audio: Samples, whose: Ticket, until: float) -> NDArray[Any]:
        if len(audio) > serving.model.max_samples:
            raise ModelFault(f"{len(audio)} samples, expected 1 to {serving.model.max_samples}")
        ticket = Ticket(whose.tenant, whose.stream, whose.weight, urgent=False)
        async with (
            self._own.place(ticket, len(audio), until - time.perf_counter()),
            self._gate.place(ticket, len(audio), until - time.perf_counter()),
        ):
            question = serving.question(_REQUEST_ID, audio, self._name)
            left_s = until - time.perf_counter()
            if left_s <= 0:
                raise TimedOut("no time is left")
            tensors = await self._client.infer(question, left_s)
        return score_of(serving.model, tensors, compute_ms=0.0, queue_ms=0.0).probabilities
