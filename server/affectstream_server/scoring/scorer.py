"""What every scorer is: an utterance in, a distribution and dimensions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from affectstream_server.cues.saliency import Span
from affectstream_server.scoring.load import Ticket
from affectstream_server.stages.decode import Samples


class ScoringError(Exception):
    """An utterance that could not be scored. The message is safe to show."""


class ScorerOverloaded(ScoringError):
    """The queue is full; nothing was started."""


class ScoreTooLate(ScoringError):
    """The deadline passed."""


class ModelFault(ScoringError):
    """The model failed, or answered something that cannot be right."""


class ScorerUnavailable(ScoringError):
    """The model cannot be asked at the moment."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is and when its answer is not to be acted on."""

    name: str
    version: str
    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    digest: str
    precision: str
    max_samples: int
    calibrated: bool
    embedding_size: int
    abstain_below: dict[str, float] = field(default_factory=dict)
    """Least probability of each top label that may be acted on; above 1: never."""
    min_snr_db: float | None = None
    """Least level of speech over noise, in dB, whose score may be acted on; None: any."""
    min_speech_ms: int = 0
    """Least speech whose score may be acted on."""
    fallback: bool = False
    """It answers because the first choice could not."""


@dataclass(frozen=True, slots=True)
class UserAnswer:
    """What an output that a user taught says of one utterance."""

    name: str
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    """``[labels]``, 0..1, summing to 1."""


@dataclass(frozen=True, slots=True)
class Score:
    """A model's answer for one utterance."""

    probabilities: NDArray[np.float32]
    """``[labels]``, 0..1, summing to 1."""
    dimensions: NDArray[np.float32]
    """``[dimensions]``, 0..1."""
    embedding: NDArray[np.float32]
    """``[embedding_size]``."""
    compute_ms: float
    """The model's own time; of an inference server that does not say it, the whole call."""
    queue_ms: float
    """From the call to the start of the computation."""
    model: ModelInfo
    """Who answered."""
    detail: str = ""
    """A plain sentence, where the answer came about in an unusual way."""
    text_weight: float | None = None
    """What the words had against the voice, where they were weighed in, 0..1."""
    user_answers: tuple[UserAnswer, ...] = ()
    """Of outputs that users taught on this model."""
    attention: NDArray[np.float32] | None = None
    """How much the model looked at each frame of `contract.ATTENTION_FRAME_SAMPLES` of the utterance, 0 or
    more; None: not asked for, or the model does not say."""


class Scorer(Protocol):
    """Scores utterances; safe to call from many streams of one event loop."""

    @property
    def model(self) -> ModelInfo:
        """The model. Raises `ScorerUnavailable` while it is not known yet."""
        ...

    async def score(
        self, utterance_id: str, audio: Samples, timeout_s: float, ticket: Ticket | None = None
    ) -> Score:
        """Score int16 ``[n]`` at 16 kHz. Raises `ScoringError`. Cancelling gives the place back.

        Where several wait, ``ticket`` says whose turn it is; without one it is nobody's.
        """
        ...

    async def close(self) -> None:
        """Finish or drop what is queued and give everything back."""
        ...


class ServedScorer(Scorer, Protocol):
    """A scorer that a server offers: it can be in trouble, and get out of it."""

    @property
    def name(self) -> str:
        """What settings call it."""
        ...

    @property
    def trouble(self) -> str:
        """Why it may not serve now, for the log; empty where it may."""
        ...

    @property
    def pending(self) -> int:
        """Utterances at the model, or waiting for it."""
        ...

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; ``changed`` is told when `trouble` or `model` changes. Needs a running loop."""
        ...

    async def score(
        self,
        utterance_id: str,
        audio: Samples,
        timeout_s: float,
        ticket: Ticket | None = None,
        *,
        attention: bool = False,
    ) -> Score:
        """See `Scorer`; with ``attention`` the score has that, too, where the model says it."""
        ...


@runtime_checkable
class PartScorer(Protocol):
    """A scorer that can tell what parts of an utterance its score rests on."""

    async def score_without(
        self, audio: Samples, holes: Sequence[Span], ticket: Ticket, timeout_s: float
    ) -> NDArray[np.float32]:
        """Probabilities ``[holes, labels]`` of int16 ``[n]`` with each hole silent. Behind all other work.

        Raises `ScoringError`, and `TimeoutError` after ``timeout_s``.
        """
        ...


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of logits along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def checked_score(
    model: ModelInfo,
    logits: NDArray[np.float32],
    dimensions: NDArray[np.float32],
    embedding: NDArray[np.float32],
    *,
    compute_ms: float,
    queue_ms: float,
) -> Score:
    """A `Score` from one utterance's tensors ``[labels]``, ``[dimensions]``, ``[embedding]``.

    Raises `ModelFault` for a wrong shape, NaN, infinity or a dimension outside 0..1.
    """
    for name, tensor, size in (
        ("LOGITS", logits, len(model.labels)),
        ("DIMS", dimensions, len(model.dimensions)),
        ("EMBEDDING", embedding, model.embedding_size),
    ):
        if tensor.shape != (size,):
            raise ModelFault(f"{model.name}: {name} has shape {list(tensor.shape)}, expected [{size}]")
        if not np.isfinite(tensor).all():
            raise ModelFault(f"{model.name}: {name} holds values that are not finite")
    if dimensions.size and (dimensions.min() < 0.0 or dimensions.max() > 1.0):
        raise ModelFault(f"{model.name}: DIMS holds values outside 0..1")
    return Score(softmax(logits), dimensions, embedding, compute_ms, queue_ms, model)
