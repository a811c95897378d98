"""A whole Pipecat agent: a scripted caller, real VAD and aggregators, an LLM that keeps its contexts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    EagerTranscriptionFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    StartFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import SegmentedSTTService, STTService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream.integrations.pipecat import AffectFrame, AffectInjector, AffectProcessor
from affectstream.tone import is_note

FRAME = SAMPLE_RATE_HZ // 50
SPEED = 4.0
MOST_AHEAD = 4
PATIENT_MS = 1_000
"""For tests of what is said, on machines that have other work."""
COMMIT_S = 0.3


class Watch(BaseObserver):
    """How much audio was heard, when contexts came to the injector and left it, every affect pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self.came: list[float] = []
        self.left: list[float] = []
        self.speculative: list[bool] = []
        self.heard: list[AffectFrame] = []

    async def on_push_frame(self, data: FramePushed) -> None:
        if isinstance(data.frame, LLMContextFrame) and data.direction is FrameDirection.DOWNSTREAM:
            if isinstance(data.destination, AffectInjector):
                self.came.append(data.timestamp / 1e9)
            elif isinstance(data.source, AffectInjector):
                self.left.append(data.timestamp / 1e9)
                self.speculative.append(data.frame.speculation)
        elif isinstance(data.frame, InputAudioRawFrame) and isinstance(data.destination, AffectInjector):
            self.frames += 1
        elif isinstance(data.frame, AffectFrame) and isinstance(data.source, AffectProcessor):
            self.heard.append(data.frame)


class Caller(BaseInputTransport):
    """A transport whose caller says what it is given, and no faster than the pipeline hears it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._said = 0
        super().__init__(TransportParams(audio_in_enabled=True, audio_in_sample_rate=SAMPLE_RATE_HZ))

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def say(self, samples: NDArray[np.int16], speed: float = SPEED) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for place in range(0, len(samples), FRAME):
            await asyncio.sleep(start_s + place / SAMPLE_RATE_HZ / speed - loop.time())
            while self._said - self._watch.frames > MOST_AHEAD:
                await asyncio.sleep(0.002)
            self._said += 1
            data = samples[place : place + FRAME].tobytes()
            await self.push_audio_frame(
                InputAudioRawFrame(audio=data, sample_rate=SAMPLE_RATE_HZ, num_channels=1)
            )


class Transcriber(SegmentedSTTService):
    """A speech-to-text service that numbers what it hears."""

    def __init__(self) -> None:
        super().__init__(ttfs_p99_latency=0.05)
        self.heard = 0

    async def run_stt(self, _audio: bytes) -> AsyncGenerator[Frame | None, None]:
        self.heard += 1
        yield TranscriptionFrame(text=f"words {self.heard}", user_id="caller", timestamp="", finalized=True)


class EagerTranscriber(STTService):
    """A speech-to-text service with turns: it predicts an end of turn, then commits or withdraws it."""

    def __init__(self, *, withdraws: int = 0) -> None:
        super().__init__(ttfs_p99_latency=0.05)
        self.heard = 0
        self._withdraws = withdraws

    async def run_stt(self, _audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self.push_frame(ProposedUserStartedSpeakingFrame())
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self.heard += 1
            self.create_task(self._finish(f"words {self.heard}"))

    async def _finish(self, words: str) -> None:
        await self.push_frame(EagerTranscriptionFrame(words, "caller", ""))
        await asyncio.sleep(COMMIT_S)
        if self.heard <= self._withdraws:
            await self.push_frame(EagerEndOfTurnCancelFrame())
            words = f"more {words}"
        await self.push_frame(TranscriptionFrame(words, "caller", "", finalized=True))
        await self.push_frame(ProposedUserStoppedSpeakingFrame())


class Llm(LLMService):
    """A language model that answers "reply N" and keeps each context that it is asked to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[dict[str, Any]]] = []
        self.news = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked.append([dict(message) for message in frame.context.messages])  # type: ignore[arg-type]
        await self.push_frame(LLMFullResponseStartFrame())
        await self.push_frame(LLMTextFrame(f"reply {len(self.asked)}"))
        await self.push_frame(LLMFullResponseEndFrame())
        self.news.set()

    async def wait_asked(self, count: int) -> list[dict[str, Any]]:
        """The context of the request with this number, from 1."""
        async with asyncio.timeout(30):
            while len(self.asked) < count:
                self.news.clear()
                await self.news.wait()
        return self.asked[count - 1]


class Agent:
    """A running agent."""

    def __init__(
        self,
        affect: AffectProcessor,
        wait_ms: int,
        stt: STTService | None,
        strategies: UserTurnStrategies | None,
    ) -> None:
        self.watch = Watch()
        self.caller, self.stt, self.llm = Caller(self.watch), stt or Transcriber(), Llm()
        self.context = LLMContext([{"role": "system", "content": "You answer calls."}])
        self.aggregators = LLMContextAggregatorPair(
            self.context,
            user_params=LLMUserAggregatorParams(
                vad_analyzer=SileroVADAnalyzer(),
                user_turn_strategies=strategies
                or UserTurnStrategies(
                    start=[VADUserTurnStartStrategy()],
                    stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.1)],
                ),
            ),
        )
        self.worker = PipelineWorker(
            Pipeline(
                [
                    self.caller,
                    affect,
                    self.stt,
                    self.aggregators.user(),
                    affect.injector(wait_ms=wait_ms),
                    self.llm,
                    self.aggregators.assistant(),
                ]
            ),
            observers=[self.watch],
            enable_rtvi=False,
            cancel_on_idle_timeout=False,
        )

    async def waited_s(self, request: int) -> float:
        """How long the injector held the context of the request with this number, from 1."""
        await self.llm.wait_asked(request)
        return self.watch.left[request - 1] - self.watch.came[request - 1]

    async def until_history_has(self, role: str, content: str) -> None:
        """Wait until the agent's own history holds this message."""
        async with asyncio.timeout(30):
            while {"role": role, "content": content} not in self.context.messages:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def agent(
    affect: AffectProcessor,
    *,
    wait_ms: int = PATIENT_MS,
    stt: STTService | None = None,
    strategies: UserTurnStrategies | None = None,
) -> AsyncIterator[Agent]:
    """An agent from its start to its end."""
    built = Agent(affect, wait_ms, stt, strategies)
    started = asyncio.Event()

    async def on_started(*_: object) -> None:
        started.set()

    built.worker.add_event_handler("on_pipeline_started", on_started)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(built.worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(30):
            await started.wait()
        yield built
    finally:
        await built.worker.queue_frame(EndFrame())
        async with asyncio.timeout(30):
            await running


def notes(messages: Sequence[dict[str, Any]]) -> list[str]:
    """The texts of the guidance messages among these."""
    texts = [str(message.get("content")) for message in messages]
    return [text for text in texts if is_note(text)]
