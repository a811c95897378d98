"""Detect: the probability of speech in each 32 ms block, one batch over all streams.

The model is Silero VAD v5 (MIT), laid out for many streams at once by `affectstream_models.detector`. Its
input is a block of 512 samples after the 64 before it; its memory is 2 x 128 floats a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import numpy as np
import onnxruntime
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.stages.decode import Samples

CONTEXT_SAMPLES: Final = 64
WINDOW_SAMPLES: Final = CONTEXT_SAMPLES + BLOCK_SAMPLES
_MIRRORED: Final = 64
"""Samples after a window: its end, mirrored."""
_FRAMES: Final = 4
_FRAME_SAMPLES: Final = 256
_HOP_SAMPLES: Final = 128
_STATE_SIZE: Final = 256


class Detector:
    """Runs the voice activity model for many streams and keeps each one's memory in a slot."""

    def __init__(self, max_batch: int = 64) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = files("affectstream_server").joinpath("models/silero_vad/detector.onnx").read_bytes()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._state = np.zeros((16, _STATE_SIZE), np.float32)
        self._free = list(range(16))
        self._windows = np.zeros((max_batch, WINDOW_SAMPLES + _MIRRORED), np.int16)
        sample = self._windows.itemsize
        frames = as_strided(
            self._windows,
            (max_batch, _FRAMES, _FRAME_SAMPLES),
            (self._windows.strides[0], _HOP_SAMPLES * sample, sample),
            writeable=False,
        )
        half = _FRAME_SAMPLES // 2
        self._ahead = frames[:, :, : half + 1]
        self._behind = frames[:, :, :half:-1]
        self._rows = np.arange(max_batch)[None]
        self.max_batch = max_batch

    def open(self) -> int:
        """Take a slot with empty memory."""
        if not self._free:
            size = len(self._state)
            more = max(16, size // 4)
            self._state = np.concatenate([self._state, np.zeros((more, _STATE_SIZE), np.float32)])
            self._free = list(range(size, size + more))
        slot = self._free.pop()
        self._state[slot] = 0.0
        return slot

    def reset(self, slot: int) -> None:
        """Forget what was heard in a slot."""
        self._state[slot] = 0.0

    def close(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)

    def detect(self, slots: Sequence[int], audio: Sequence[Samples]) -> NDArray[np.float32]:
        """Speech probability in 0..1 of each stream's next blocks: ``[T, B]``, T the most that a stream has.

        ``audio`` are int16 ``[64 + 512 n]``, n blocks after the 64 samples before them, one a slot and at
        most `max_batch` blocks in all. Where a stream has fewer than T, what follows its last means nothing.
        """
        lengths = np.array([len(samples) // BLOCK_SAMPLES for samples in audio], np.int32)
        most = int(lengths.max())
        if most == 1:
            windows, place = audio, self._rows[:, : len(slots)]
        else:
            windows = [
                samples[start : start + WINDOW_SAMPLES]
                for samples in audio
                for start in range(0, len(samples) - CONTEXT_SAMPLES, BLOCK_SAMPLES)
            ]
            place = np.cumsum(lengths) - lengths + np.minimum(np.arange(most)[:, None], lengths - 1)
        count = len(windows)
        batch = self._windows[:count]
        np.stack(windows, out=batch[:, :WINDOW_SAMPLES])
        batch[:, WINDOW_SAMPLES:] = batch[:, WINDOW_SAMPLES - 2 : WINDOW_SAMPLES - 2 - _MIRRORED : -1]
        index = np.asarray(slots)
        inputs = {
            "ahead": self._ahead[:count].astype(np.float32),
            "behind": self._behind[:count].astype(np.float32),
            "place": place,
            "lengths": lengths,
            "state": self._state[index],
        }
        probability, state = self._session.run(None, inputs)
        self._state[index] = state
        result: NDArray[np.float32] = probability
        return result
