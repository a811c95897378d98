"""MERaLiON-SER's exported graph as the judge's `Predictor`: clips of any length, in padded windows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from affectstream.contract import AUDIO, DIMENSIONS, DIMS, EMOTIONS, LOGITS, METADATA_PREFIX
from affectstream_models.dataset import Waveform
from affectstream_models.errors import ModelsError
from affectstream_models.meralion_windows import windows
from affectstream_models.parity import Scores, gather
from affectstream_models.predictor import Prediction


class MeralionPredictor:
    """A graph written by `affectstream-models export`, run by onnxruntime on the CPU.

    Raises:
        ModelsError: when the file is not such a graph.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelsError(f"cannot read {path}: {error.strerror}") from error
        # By path, since the weights may stand in a file beside the graph.
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        said = self._session.get_modelmeta().custom_metadata_map
        try:
            self._window_samples = int(said[METADATA_PREFIX + "window_samples"])
            name, version, precision = (
                said[METADATA_PREFIX + key] for key in ("name", "version", "precision")
            )
        except KeyError as error:
            raise ModelsError(
                f"{path} lacks the metadata {error}; write it with `affectstream-models export`"
            ) from error
        self.name = f"{name} {version} {precision}"
        self.labels: tuple[str, ...] = EMOTIONS
        self.dimensions: tuple[str, ...] = DIMENSIONS
        takes_int16 = self._session.get_inputs()[0].type == "tensor(int16)"
        self._dtype = np.int16 if takes_int16 else np.float32

    def predict(self, waveform: Waveform) -> Prediction:
        """Hears int16 `[samples]` at 16 kHz, of any length.

        Over 30 s, probabilities and dims are means over equal windows, weighted by duration; the
        logits are then the logarithms of those probabilities, whose softmax gives them back.
        """
        stretches = windows(len(waveform), self._window_samples)
        scores = gather(self._hear(waveform[stretch]) for stretch in stretches)
        shares = np.array([stretch.stop - stretch.start for stretch in stretches]) / len(waveform)
        logits = _logarithms(scores, shares) if len(stretches) > 1 else scores.logits[0]
        return Prediction(tuple(map(float, logits)), tuple(map(float, shares @ scores.dims)))

    def _hear(self, stretch: Waveform) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        window = np.zeros((1, self._window_samples), dtype=self._dtype)
        window[0, : len(stretch)] = stretch
        return list(self._session.run([LOGITS.name, DIMS.name], {AUDIO.name: window}))


def _logarithms(scores: Scores, shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    mean = shares @ scores.probabilities
    return [float(value) for value in np.log(np.maximum(mean, 1e-12))]


def is_windowed(path: Path) -> bool:
    """Whether an ONNX file says that it hears windows of one length, as MERaLiON-SER's graphs do."""
    try:
        graph = onnx.load(path, load_external_data=False)
    except Exception:  # noqa: BLE001 - whoever opens it next says why it cannot be opened
        return False
    return any(item.key == METADATA_PREFIX + "window_samples" for item in graph.metadata_props)
