"""The raw side of the overhead: `python -m bench.overhead_raw` asks Triton directly, a window at a time.

A line of JSON on stdin is either ``{"talks": [...], "address": ..., "model": ...}``, first, or
``{"id": ..., "talk": ..., "start": ..., "end": ...}``: a window in samples of a looped talk. The answer on
stdout is ``{"id": ..., "ms": ..., "shared_ms": ...}``: one call as any client of Triton would make it, from
int16 samples to tensors, and one through system shared memory, in turns first.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import shared_memory

from affectstream.contract import AUDIO, BUCKETS_SAMPLES, DIMS, EMBEDDING, LOGITS, NUM_SAMPLES
from bench.overhead_talks import window

_SLOTS: Final = 32
_SLOT_BYTES: Final = 2 * BUCKETS_SAMPLES[-1]
_REGION: Final = f"affectstream_bench_{os.getpid()}"


class Raw:
    """Direct calls of one model."""

    def __init__(self, address: str, model: str) -> None:
        self._client = InferenceServerClient(address)
        self._model = model
        self._outputs = [InferRequestedOutput(tensor.name) for tensor in (LOGITS, DIMS, EMBEDDING)]
        self._slots: asyncio.Queue[int] = asyncio.Queue()
        self._region: Any = None

    async def open(self) -> None:
        """Register the shared memory and make each kind of call once."""
        self._region = shared_memory.create_shared_memory_region(
            _REGION, f"/{_REGION}", _SLOTS * _SLOT_BYTES, create_only=True
        )
        await self._client.register_system_shared_memory(_REGION, f"/{_REGION}", _SLOTS * _SLOT_BYTES)
        for slot in range(_SLOTS):
            self._slots.put_nowait(slot)
        for _ in range(20):
            await self.plain(np.ones(16_000, np.int16))
            await self.shared(np.ones(16_000, np.int16))

    async def close(self) -> None:
        """Give the shared memory back."""
        await self._client.unregister_system_shared_memory(_REGION)
        await self._client.close()
        shared_memory.destroy_shared_memory_region(self._region)

    async def plain(self, samples: NDArray[np.int16]) -> float:
        """One call with the audio in the message; its time in ms."""
        began = time.perf_counter_ns()
        padded = _padded(samples)
        audio = InferInput(AUDIO.name, padded.shape, AUDIO.dtype)
        audio.set_data_from_numpy(padded)
        await self._ask(audio, len(samples))
        return (time.perf_counter_ns() - began) / 1e6

    async def shared(self, samples: NDArray[np.int16]) -> float:
        """One call with the audio in shared memory; its time in ms."""
        slot = await self._slots.get()
        began = time.perf_counter_ns()
        padded = _padded(samples)
        shared_memory.set_shared_memory_region(self._region, [padded], offset=slot * _SLOT_BYTES)
        audio = InferInput(AUDIO.name, padded.shape, AUDIO.dtype)
        audio.set_shared_memory(_REGION, padded.nbytes, offset=slot * _SLOT_BYTES)
        await self._ask(audio, len(samples))
        took_ms = (time.perf_counter_ns() - began) / 1e6
        self._slots.put_nowait(slot)
        return took_ms

    async def _ask(self, audio: Any, length: int) -> None:
        count = InferInput(NUM_SAMPLES.name, (1, 1), NUM_SAMPLES.dtype)
        count.set_data_from_numpy(np.array([[length]], np.int32))
        result = await self._client.infer(
            self._model, [audio, count], outputs=self._outputs, client_timeout=10.0
        )
        for tensor in (LOGITS, DIMS, EMBEDDING):
            result.as_numpy(tensor.name)


def _padded(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    length = next(size for size in BUCKETS_SAMPLES if size >= len(samples))
    padded = np.zeros((1, length), np.int16)
    padded[0, : len(samples)] = samples
    return padded


async def _answer(raw: Raw, asked: dict[str, Any], talks: list[NDArray[np.int16]]) -> None:
    samples = window(talks[asked["talk"]], asked["start"], asked["end"])
    if asked["id"] % 2:
        plain_ms, shared_ms = await raw.plain(samples), await raw.shared(samples)
    else:
        shared_ms, plain_ms = await raw.shared(samples), await raw.plain(samples)
    _tell({"id": asked["id"], "ms": plain_ms, "shared_ms": shared_ms})


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _run() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    job = json.loads(await lines.readline())
    talks = [np.load(path) for path in job["talks"]]
    raw = Raw(job["address"], job["model"])
    await raw.open()
    _tell({"ready": True})
    async with asyncio.TaskGroup() as tasks:
        while line := await lines.readline():
            tasks.create_task(_answer(raw, json.loads(line), talks))
    await raw.close()


if __name__ == "__main__":
    asyncio.run(_run())
