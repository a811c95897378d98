"""The embedded model, scored in this process by onnxruntime on threads of its own."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from affectstream.contract import (
    AUDIO,
    DIMENSIONS,
    DIMS,
    EMBEDDING,
    EMOTIONS,
    LOGITS,
    METADATA_PREFIX,
    NUM_SAMPLES,
    SAMPLE_RATE_HZ,
)
from affectstream_server.cues.saliency import Span, without
from affectstream_server.scoring.canary import Answer, CanaryFailed, canary_audio
from affectstream_server.scoring.embedded_watch import EmbeddedWatch
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.pool import FairPool
from affectstream_server.scoring.scorer import (
    ModelFault,
    ModelInfo,
    Score,
    ScorerUnavailable,
    ScoreTooLate,
    checked_score,
    softmax,
)
from affectstream_server.stages.decode import Samples

_BATCH_SAMPLES: Final = 6 * SAMPLE_RATE_HZ
"""Scored at once in the background: a final that comes then waits for it, about 15 ms."""
BUNDLED: Final = Path(__file__).resolve().parent.parent / "models" / "affect_embedded"


class ModelRejected(Exception):
    """A model that may not serve; the message names the file, what is wrong and what is expected."""


class EmbeddedScorer:
    """Scores with an ONNX model of the contract's tensors. See `affectstream.contract`.

    It may serve from the first; from `start` on it is watched.
    """

    def __init__(
        self, folder: Path = BUNDLED, *, threads: int = 1, max_pending: int = 256, canary_s: float = 5.0
    ) -> None:
        """Load the model and hear the known sound. Raises `ModelRejected`."""
        path = folder / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            content = path.read_bytes()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise ModelRejected(f"{path}: cannot be read: {error.strerror}") from None
        except Exception as error:
            raise ModelRejected(f"{path}: not a model that onnxruntime can load") from error
        self.model = _describe(path, self._session, hashlib.sha256(content).hexdigest())
        self._pool: FairPool[Any] = FairPool(threads, max_pending)
        self._watch = EmbeddedWatch(
            self.model.name, self._hear_canary, self._known_answer(path), period_s=canary_s, threads=threads
        )

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def trouble(self) -> str:
        """Why it may not serve now; empty where it may."""
        return self._watch.trouble

    @property
    def pending(self) -> int:
        """Utterances at the model, or waiting for it."""
        return self._pool.held

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to watch the model and its threads; ``changed`` is told when `trouble` changes."""
        self._watch.start(changed)

    async def score(
        self,
        utterance_id: str,  # noqa: ARG002 - the protocol's
        audio: Samples,
        timeout_s: float,
        ticket: Ticket | None = None,
        *,
        attention: bool = False,  # noqa: ARG002 - it has none
    ) -> Score:
        if not 0 < len(audio) <= self.model.max_samples:
            raise ModelFault(f"{len(audio)} samples, expected 1 to {self.model.max_samples}")
        if self.trouble:
            raise ScorerUnavailable("the model is not ready; the server's log says why")
        try:
            score = await self._in_turn(audio, timeout_s, ticket or Ticket())
        except TimeoutError:
            raise ScoreTooLate(f"no score within {timeout_s * 1_000:.0f} ms") from None
        self._watch.scored()
        return score

    async def score_without(
        self, audio: Samples, holes: Sequence[Span], ticket: Ticket, timeout_s: float
    ) -> NDArray[np.float32]:
        until = time.perf_counter() + timeout_s
        if self.trouble:
            raise ScorerUnavailable("the model is not ready; the server's log says why")
        batch = max(1, _BATCH_SAMPLES // len(audio))
        parts: list[NDArray[np.float32]] = []
        for first in range(0, len(holes), batch):
            chosen = holes[first : first + batch]
            parts.append(
                await self._pool.run(
                    ticket,
                    len(audio) * len(chosen),
                    until - time.perf_counter(),
                    lambda chosen=chosen: self._run_without(audio, chosen),  # type: ignore[misc]
                    background=True,
                )
            )
        return np.concatenate(parts)

    async def close(self) -> None:
        await self._watch.close()
        self._pool.close()

    async def _in_turn(self, audio: Samples, timeout_s: float | None, ticket: Ticket) -> Score:
        asked = time.perf_counter()
        score: Score = await self._pool.run(ticket, len(audio), timeout_s, lambda: self._run(audio, asked))
        return score

    async def _hear_canary(self) -> Answer:
        return _answer(await self._in_turn(canary_audio(), None, Ticket()))

    def _known_answer(self, path: Path) -> Answer:
        """What the model says of the known sound; silence must sound different."""
        try:
            heard, silence = (
                _answer(self._run(sound, time.perf_counter()))
                for sound in (canary_audio(), np.zeros_like(canary_audio()))
            )
        except ModelFault as fault:
            raise ModelRejected(f"{path}: does not answer the known sound: {fault}") from None
        try:
            silence.compare(heard)
        except CanaryFailed:
            return heard
        raise ModelRejected(f"{path}: silence and the known sound gave the same answer")

    def _run(self, audio: Samples, asked: float) -> Score:
        started = time.perf_counter()
        inputs = {AUDIO.name: audio[np.newaxis], NUM_SAMPLES.name: np.array([[len(audio)]], np.int32)}
        try:
            logits, dimensions, embedding = self._session.run(
                [LOGITS.name, DIMS.name, EMBEDDING.name], inputs
            )
        except Exception as error:
            raise ModelFault(f"{self.model.name}: the model failed on {len(audio)} samples") from error
        return checked_score(
            self.model,
            logits[0],
            dimensions[0],
            embedding[0],
            compute_ms=(time.perf_counter() - started) * 1_000,
            queue_ms=(started - asked) * 1_000,
        )

    def _run_without(self, audio: Samples, holes: Sequence[Span]) -> NDArray[np.float32]:
        batch = np.stack([without(audio, hole) for hole in holes])
        lengths = np.full((len(holes), 1), len(audio), np.int32)
        try:
            (logits,) = self._session.run([LOGITS.name], {AUDIO.name: batch, NUM_SAMPLES.name: lengths})
        except Exception as error:
            raise ModelFault(f"{self.model.name}: the model failed on {len(holes)} parts") from error
        if not np.isfinite(logits).all():
            raise ModelFault(f"{self.model.name}: LOGITS holds values that are not finite")
        return softmax(logits)


def _answer(score: Score) -> Answer:
    return Answer(tuple(score.probabilities.tolist()), tuple(score.dimensions.tolist()))


def _describe(path: Path, session: onnxruntime.InferenceSession, digest: str) -> ModelInfo:
    metadata = {
        key.removeprefix(METADATA_PREFIX): value
        for key, value in session.get_modelmeta().custom_metadata_map.items()
        if key.startswith(METADATA_PREFIX)
    }
    names = {tensor.name for tensor in (*session.get_inputs(), *session.get_outputs())}
    for tensor in (AUDIO, NUM_SAMPLES, LOGITS, DIMS, EMBEDDING):
        if tensor.name not in names:
            raise ModelRejected(f"{path}: has no tensor {tensor.name}; it has {', '.join(sorted(names))}")
    try:
        labels = tuple(metadata["labels"].split(","))
        dimensions = tuple(filter(None, metadata["dimensions"].split(",")))
        rate, max_samples = int(metadata["sample_rate_hz"]), int(metadata["max_samples"])
        name, version, calibrated = metadata["name"], metadata["version"], metadata["calibrated"] == "true"
    except (KeyError, ValueError) as error:
        raise ModelRejected(f"{path}: metadata {METADATA_PREFIX}{error.args[0]} is missing or bad") from None
    for what, got, known in (("labels", labels, EMOTIONS), ("dimensions", dimensions, DIMENSIONS)):
        if got != tuple(item for item in known if item in got):
            raise ModelRejected(
                f"{path}: {what} are {','.join(got)}; expected some of {','.join(known)} in order"
            )
    if rate != SAMPLE_RATE_HZ:
        raise ModelRejected(f"{path}: made for {rate} Hz, expected {SAMPLE_RATE_HZ}")
    sizes = {output.name: output.shape[-1] for output in session.get_outputs()}
    return ModelInfo(
        name=name,
        version=version,
        labels=labels,
        dimensions=dimensions,
        digest=digest,
        precision="fp32",
        max_samples=max_samples,
        calibrated=calibrated,
        embedding_size=int(sizes[EMBEDDING.name]),
        **_thresholds(path.with_name("card.toml")),
    )


class _Thresholds(TypedDict, total=False):
    abstain_below: dict[str, float]
    min_snr_db: float
    min_speech_ms: int


def _thresholds(card: Path) -> _Thresholds:
    """What the model's card says of when its answer is not to be acted on."""
    found: _Thresholds = {}
    if not card.exists():
        return found
    try:
        abstention = tomllib.loads(card.read_text(encoding="utf-8")).get("abstention", {})
        floors = abstention.get("min_probability", {})
        found["abstain_below"] = {label: float(value) for label, value in floors.items()}
        if "min_snr_db" in abstention:
            found["min_snr_db"] = float(abstention["min_snr_db"])
        if "min_speech_ms" in abstention:
            found["min_speech_ms"] = int(abstention["min_speech_ms"])
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelRejected(f"{card}: [abstention] cannot be read: {error}") from None
    return found
