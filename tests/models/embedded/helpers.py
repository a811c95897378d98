"""What the tests of the embedded model share: a runner for model files, and a synthetic voice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

import affectstream_server
from affectstream.contract import AUDIO, DIMS, EMBEDDING, LOGITS, NUM_SAMPLES, SAMPLE_RATE_HZ

Waveform = npt.NDArray[np.int16]
Outputs = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]

SHIPPED = Path(affectstream_server.__file__).parent / "models" / "affect_embedded"


class Model:
    """A model file, run on one core."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def hear(self, waves: Sequence[Waveform], samples: int | None = None) -> Outputs:
        """Logits, dims and embedding of waves zero-padded to the longest, or to `samples`."""
        length = samples or max(len(wave) for wave in waves)
        audio = np.stack([np.pad(wave, (0, length - len(wave))) for wave in waves])
        num_samples = np.array([[len(wave)] for wave in waves], dtype=np.int32)
        logits, dims, embedding = self.session.run(
            [LOGITS.name, DIMS.name, EMBEDDING.name], {AUDIO.name: audio, NUM_SAMPLES.name: num_samples}
        )
        return logits, dims, embedding

    def probabilities(self, wave: Waveform) -> npt.NDArray[np.float32]:
        logits = self.hear([wave])[0][0]
        shifted = np.exp(logits - logits.max())
        return np.asarray(shifted / shifted.sum(), dtype=np.float32)


def voice(seed: int, duration_s: float, pitch_hz: float = 150.0, swing: float = 0.1) -> Waveform:
    """A buzz with moving pitch and syllables at four a second: enough of a voice for the features."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    pitch = pitch_hz * (1 + swing * np.sin(2 * np.pi * 0.7 * time_s + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 16))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time_s + rng.uniform(0, 6)) + 0.6, 0, None)
    wave = 4000 * buzz * syllables + rng.normal(0, 20, len(time_s))
    return np.asarray(np.clip(wave, -32768, 32767), dtype=np.int16)
