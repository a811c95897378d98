"""What `evaluate` and `calibrate` need of a model, and the ONNX file that gives it.

Another kind of model (a PyTorch checkpoint, a server) joins by satisfying `Predictor`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from affectstream.contract import AUDIO, DIMS, EMBEDDING, LOGITS, METADATA_PREFIX, NUM_SAMPLES, SAMPLE_RATE_HZ
from affectstream_models.card import MODEL_FILE
from affectstream_models.dataset import Waveform
from affectstream_models.errors import ModelsError

MIN_SAMPLES = SAMPLE_RATE_HZ // 10


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one clip."""

    logits: tuple[float, ...]
    """One for each label; softmax gives probabilities."""
    dims: tuple[float, ...]
    """One in 0..1 for each dimension."""


class Predictor(Protocol):
    """A model that hears one clip at a time."""

    @property
    def name(self) -> str:
        """Name and version, for people."""

    @property
    def digest(self) -> str:
        """Changes when the predictions would."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the logits."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names in the order of the dims."""

    def predict(self, waveform: Waveform) -> Prediction:
        """Hears int16 [samples] at 16 kHz."""


class OnnxPredictor:
    """Any ONNX file with the contract's tensors and metadata, run on one core."""

    def __init__(self, path: Path) -> None:
        path = path / MODEL_FILE if path.is_dir() else path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            content = path.read_bytes()
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise ModelsError(f"cannot read {path}: {error.strerror}") from error
        except Exception as error:
            raise ModelsError(
                f"{path} is not a model that ONNX Runtime loads: {_first_line(error)}"
            ) from error
        said = self._session.get_modelmeta().custom_metadata_map
        try:
            self.name = f"{said[METADATA_PREFIX + 'name']} {said[METADATA_PREFIX + 'version']}"
            self.labels = _names(said[METADATA_PREFIX + "labels"])
            self.dimensions = _names(said[METADATA_PREFIX + "dimensions"])
            self.max_samples = int(said[METADATA_PREFIX + "max_samples"])
        except KeyError as error:
            raise ModelsError(f"{path} lacks the metadata {error}; was it made for Affectstream?") from error
        self.digest = hashlib.sha256(content).hexdigest()

    def predict(self, waveform: Waveform) -> Prediction:
        """Hears int16 [samples] at 16 kHz; what is longer than the model takes is refused."""
        if len(waveform) > self.max_samples:
            raise ModelsError(
                f"a clip lasts {len(waveform) / SAMPLE_RATE_HZ:.1f} s; {self.name} takes "
                f"{self.max_samples / SAMPLE_RATE_HZ:.1f} s at most: cut it into utterances first"
            )
        logits, dims = self._run(waveform, LOGITS.name, DIMS.name)
        return Prediction(_floats(logits[0]), _floats(dims[0]))

    def embed(self, waveform: Waveform) -> npt.NDArray[np.float64]:
        """The embedding of int16 [samples] at 16 kHz, at most `max_samples`."""
        (embedding,) = self._run(waveform, EMBEDDING.name)
        return np.asarray(embedding[0], dtype=np.float64)

    def _run(self, waveform: Waveform, *outputs: str) -> list[npt.NDArray[np.float32]]:
        audio = np.pad(waveform, (0, max(0, MIN_SAMPLES - len(waveform))))[None]
        num_samples = np.array([[len(waveform)]], dtype=np.int32)
        found: list[npt.NDArray[np.float32]] = self._session.run(
            list(outputs), {AUDIO.name: audio, NUM_SAMPLES.name: num_samples}
        )
        return found


def open_predictor(path: Path) -> Predictor:
    """The model at `path`: an ONNX file, or a folder that holds one."""
    from affectstream_models.meralion_predictor import MeralionPredictor, is_windowed

    file = path / MODEL_FILE if path.is_dir() else path
    return MeralionPredictor(file) if is_windowed(file) else OnnxPredictor(path)


def _names(listed: str) -> tuple[str, ...]:
    return tuple(name for name in listed.split(",") if name)


def _floats(values: npt.NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
