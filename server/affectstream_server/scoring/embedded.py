"""The embedded model, scored in this process by onnxruntime on threads of its own."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypedDict

import numpy as np
import onnxruntime

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
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.pool import FairPool
from affectstream_server.scoring.scorer import (
    ModelFault,
    ModelInfo,
    Score,
    ScoreTooLate,
    checked_score,
)
from affectstream_server.stages.decode import Samples

BUNDLED: Final = Path(__file__).resolve().parent.parent / "models" / "affect_embedded"


class ModelRejected(Exception):
    """A model that may not serve; the message names the file, what is wrong and what is expected."""


class EmbeddedScorer:
    """Scores with an ONNX model of the contract's tensors. See `affectstream.contract`."""

    def __init__(self, folder: Path = BUNDLED, *, threads: int = 1, max_pending: int = 256) -> None:
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
        self._pool: FairPool[Score] = FairPool(threads, max_pending)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def trouble(self) -> str:
        return ""

    def start(self, changed: Callable[[], None]) -> None:
        """Nothing to do: it was ready when it was made."""

    async def score(
        self,
        utterance_id: str,  # noqa: ARG002 - the protocol's
        audio: Samples,
        timeout_s: float,
        ticket: Ticket | None = None,
    ) -> Score:
        if not 0 < len(audio) <= self.model.max_samples:
            raise ModelFault(f"{len(audio)} samples, expected 1 to {self.model.max_samples}")
        asked = time.perf_counter()
        try:
            return await self._pool.run(
                ticket or Ticket(), len(audio), timeout_s, lambda: self._run(audio, asked)
            )
        except TimeoutError:
            raise ScoreTooLate(f"no score within {timeout_s * 1_000:.0f} ms") from None

    async def close(self) -> None:
        self._pool.close()

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
