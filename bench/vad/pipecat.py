"""Pipecat: a pipeline with its VADProcessor for each stream, its worker without what can be left out.

Frames are queued straight to the worker; a transport before it, which a call has, would cost more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, VADUserStoppedSpeakingFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.workers.runner import WorkerRunner

from bench.vad.row import main

_START_S = 30.0


class Pipecat:
    """Pipelines on one event loop."""

    def __init__(self) -> None:
        logger.remove()
        self._workers: list[PipelineWorker] = []
        self._running: asyncio.Task[None] | None = None
        self._starting = 0
        self._started = asyncio.Event()
        self._found = 0

    def frame(self, data: bytes) -> bytes:
        return data

    async def start(self, streams: int) -> None:
        self._starting = streams
        runner = WorkerRunner(handle_sigint=False)
        for _ in range(streams):
            worker = PipelineWorker(
                Pipeline([VADProcessor(vad_analyzer=SileroVADAnalyzer())]),
                enable_rtvi=False,
                enable_turn_tracking=False,
                cancel_on_idle_timeout=False,
            )
            worker.set_reached_downstream_filter((VADUserStoppedSpeakingFrame,))
            worker.add_event_handler("on_frame_reached_downstream", self._on_stopped)
            worker.add_event_handler("on_pipeline_started", self._on_started)
            self._workers.append(worker)
            await runner.add_workers(worker)
        self._running = asyncio.create_task(runner.run())
        async with asyncio.timeout(_START_S):
            await self._started.wait()

    async def push(self, due: Sequence[tuple[int, bytes]]) -> None:
        for stream, data in due:
            frame = InputAudioRawFrame(audio=data, sample_rate=16_000, num_channels=1)
            await self._workers[stream].queue_frame(frame)

    async def stop(self) -> int:
        for worker in self._workers:
            await worker.queue_frame(EndFrame())
        if self._running is not None:
            await self._running
        return self._found

    async def _on_started(self, *_: Any) -> None:
        self._starting -= 1
        if not self._starting:
            self._started.set()

    async def _on_stopped(self, *_: Any) -> None:
        self._found += 1


if __name__ == "__main__":
    main({"pipecat": Pipecat})
