"""Whether a model behind Triton may serve: looked at before the first utterance, and ever after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import DIMS, EMBEDDING, FRAME_ATTENTION, LOGITS
from affectstream_server.scoring.canary import Answer, CanaryFailed, canary_audio, known_answer
from affectstream_server.scoring.scorer import ModelFault, ModelInfo, Score, checked_score
from affectstream_server.scoring.triton_client import Question as Ask
from affectstream_server.scoring.triton_client import QueueFull, TimedOut, TritonClient, TritonError
from affectstream_server.scoring.triton_layout import (
    ContractMismatch,
    Layout,
    frames_of,
    layout_of,
    model_of,
    output_sizes,
    parameters_of,
)

_log = logging.getLogger(__name__)

_RETRY_S: Final = 0.25
"""Between looks while the model may not serve."""
_LEAST_GAP_S: Final = 0.05
_MISSES: Final = 2
"""Canaries without an answer in a row until a model that served may not; one may be mere load."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A version that has proved itself."""

    version: str
    model: ModelInfo
    layout: Layout
    answer: Answer
    """What it says of the canary."""

    def question(
        self, request_id: str, audio: NDArray[np.int16], triton_name: str, *, attention: bool = False
    ) -> Ask:
        """The request that scores int16 ``[n]``."""
        return _question(triton_name, self.version, request_id, self.layout, audio, attention=attention)


class Watch:
    """Keeps a model under observation. Run `run` as a task; `serving` is what may be asked meanwhile.

    Faults of the server, of the contract and of the canary take `serving` away at once; so an answer
    of a restarted Triton counts only after it was inspected again.
    """

    def __init__(
        self,
        client: TritonClient,
        name: str,
        pinned: str,
        *,
        period_s: float,
        timeout_s: float,
        changed: Callable[[], None],
    ) -> None:
        """``pinned`` is the one version that may serve; empty: the latest. ``changed`` is told of every
        change of `serving`."""
        self._client = client
        self._name = name
        self._pinned = pinned
        self._period_s = period_s
        self._timeout_s = timeout_s
        self._changed = changed
        self._nudged = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._misses = 0
        self._complaint = ""
        self.serving: Serving | None = None
        self.trouble = f"{name} was not asked yet"
        """Why nothing serves; empty where something does."""

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            waiters, self._waiters = self._waiters, []
            self._nudged.clear()
            await self._look()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            await asyncio.sleep(_LEAST_GAP_S)
            try:
                async with asyncio.timeout(self._period_s if self.serving else _RETRY_S):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    def nudge(self) -> None:
        """Look again now."""
        self._nudged.set()

    async def look_again(self) -> Serving | None:
        """What serves after one more whole look. The caller bounds the wait."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.nudge()
        await waiter
        return self.serving

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._check()
            self._misses = 0
        except (TimedOut, TimeoutError):
            self._misses += 1
            if self.serving is None or self._misses >= _MISSES:
                self._stop_serving(f"no answer within {self._timeout_s * 1_000:.0f} ms")
        except QueueFull:
            self._misses = 0  # it is alive, and says so
        except (TritonError, ContractMismatch, CanaryFailed, ModelFault) as error:
            self._stop_serving(str(error))
        except Exception as error:  # noqa: BLE001 - the watch must go on
            self._stop_serving(f"looking at it failed: {type(error).__name__}", error)

    async def _check(self) -> None:
        version = self._pinned or await self._client.latest_version(self._name, self._timeout_s)
        serving = self.serving
        if serving is not None and serving.version == version:
            await self._prove(serving)
            return
        try:
            fresh = await self._inspect(version)
        except (ContractMismatch, CanaryFailed, ModelFault) as error:
            if serving is None:
                raise
            self._complain(f"version {version} may not serve, {serving.version} goes on: {error}")
            await self._prove(serving)
            return
        self._serve(fresh)

    async def _inspect(self, version: str) -> Serving:
        """A version's configuration, labels and canary. Raises what makes it unfit."""
        config = await self._client.config(self._name, version, self._timeout_s)
        layout = layout_of(config)
        count = output_sizes(config)[LOGITS.name]
        question = self._canary(layout, version, canary_audio())
        labels = await self._client.labels(question, count, self._timeout_s)
        model = model_of(config, version, labels)
        score = await self._ask(question, model, layout)
        answer = Answer.of(np.log(score.probabilities), score.dimensions)
        known = known_answer(parameters_of(config), version)
        if known is not None:
            answer.compare(known)
        else:
            await self._hears(layout, version, model, answer)
        return Serving(version, model, layout, answer)

    async def _hears(self, layout: Layout, version: str, model: ModelInfo, answer: Answer) -> None:
        """Without a known answer: silence must not sound like the canary."""
        silence = self._canary(layout, version, np.zeros_like(canary_audio()))
        score = await self._ask(silence, model, layout)
        if Answer.of(np.log(score.probabilities), score.dimensions) == answer:
            raise CanaryFailed("silence and the known sound gave the same answer")

    async def _prove(self, serving: Serving) -> None:
        question = self._canary(serving.layout, serving.version, canary_audio())
        score = await self._ask(question, serving.model, serving.layout)
        Answer.of(np.log(score.probabilities), score.dimensions).compare(serving.answer)

    def _canary(self, layout: Layout, version: str, audio: NDArray[np.int16]) -> Ask:
        return _question(self._name, version, "canary", layout, audio, attention=True)

    async def _ask(self, question: Ask, model: ModelInfo, layout: Layout) -> Score:
        tensors = await self._client.infer(question, self._timeout_s)
        attention_of(model, layout, tensors, len(canary_audio()))
        return score_of(model, tensors)

    def _serve(self, fresh: Serving) -> None:
        _log.info("%s version %s serves", self._name, fresh.version)
        self.serving, self.trouble, self._complaint = fresh, "", ""
        self._changed()

    def _stop_serving(self, why: str, fault: Exception | None = None) -> None:
        self.trouble = f"{self._name}: {why}"
        self._complain(why, fault)
        if self.serving is not None:
            self.serving = None
            self._changed()

    def _complain(self, what: str, fault: Exception | None = None) -> None:
        """Log once what lasts."""
        if what != self._complaint:
            self._complaint = what
            _log.warning("%s at %s: %s", self._name, self._client.address, what, exc_info=fault)


def _question(
    name: str, version: str, request_id: str, layout: Layout, audio: NDArray[np.int16], *, attention: bool
) -> Ask:
    return Ask(name, version, request_id, layout.tensors(audio), layout.outputs(attention=attention))


def score_of(
    model: ModelInfo,
    tensors: dict[str, NDArray[Any] | None],
    *,
    compute_ms: float = 0.0,
    queue_ms: float = 0.0,
) -> Score:
    """A score from the tensors of one answer. Raises `ModelFault` where they cannot be right."""
    logits, dimensions, embedding = (
        _row(model, tensors, name) for name in (LOGITS.name, DIMS.name, EMBEDDING.name)
    )
    return checked_score(model, logits, dimensions, embedding, compute_ms=compute_ms, queue_ms=queue_ms)


def attention_of(
    model: ModelInfo, layout: Layout, tensors: dict[str, NDArray[Any] | None], samples: int
) -> NDArray[np.float32] | None:
    """How much the model looked at each frame of so many samples, without the padding; None: not asked for.

    Raises `ModelFault` where it cannot be right.
    """
    name = FRAME_ATTENTION.name
    if name not in tensors:
        return None
    row, frames = _row(model, tensors, name), frames_of(layout.padded_samples(samples))
    if row.shape != (frames,):
        raise ModelFault(f"{model.name}: {name} has shape {list(row.shape)}, expected [{frames}]")
    if not (np.isfinite(row).all() and row.min() >= 0.0):
        raise ModelFault(f"{model.name}: {name} holds values that are not finite, or below 0")
    return row[: frames_of(samples)]


def _row(model: ModelInfo, tensors: dict[str, NDArray[Any] | None], name: str) -> NDArray[np.float32]:
    tensor = tensors.get(name)
    if tensor is None or tensor.dtype != np.float32 or tensor.ndim < 1 or len(tensor) != 1:
        shape = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
        raise ModelFault(f"{model.name}: {name} is {shape}, expected float32 with one row")
    row: NDArray[np.float32] = tensor[0]
    return row
