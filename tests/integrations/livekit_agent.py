"""A LiveKit session without a room: a scripted caller, real VAD and turns, an LLM that keeps its contexts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, inference, llm, stt
from livekit.agents.voice.io import AudioInput
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream.integrations.livekit import AffectListener
from affectstream.tone import is_note

FRAME = SAMPLE_RATE_HZ // 50
SPEED = 3.0
WAIT_S = 0.15
LOUD = 300.0
STT_SILENCE = round(0.3 * SAMPLE_RATE_HZ)


class Timed(AffectListener):
    """Keeps how long each reply was held, in seconds."""

    def __init__(self, address: str) -> None:
        super().__init__(address, wait_ms=round(1_000 * WAIT_S))
        self.held_s: list[float] = []

    async def guided(self, chat_ctx: llm.ChatContext) -> llm.ChatContext:
        began_s = time.monotonic()
        guided = await super().guided(chat_ctx)
        self.held_s.append(time.monotonic() - began_s)
        return guided


class Caller(AudioInput):
    """An input whose caller says what it is given."""

    def __init__(self) -> None:
        super().__init__(label="caller")
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()

    async def say(self, samples: NDArray[np.int16], speed: float = SPEED) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for place in range(0, len(samples), FRAME):
            await asyncio.sleep(start_s + place / SAMPLE_RATE_HZ / speed - loop.time())
            data = samples[place : place + FRAME]
            self._frames.put_nowait(rtc.AudioFrame(data.tobytes(), SAMPLE_RATE_HZ, 1, len(data)))


class Transcriber(stt.STT[Any]):
    """A streaming speech-to-text service that numbers what it hears."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.heard = 0

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, **options: Any) -> stt.RecognizeStream:
        return Transcribing(self, options["conn_options"])


class Transcribing(stt.RecognizeStream):
    """Its final transcript comes after some silence."""

    def __init__(self, owner: Transcriber, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=owner, conn_options=conn_options)
        self._owner = owner

    async def _run(self) -> None:
        silence, spoke = 0, False
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            samples = np.frombuffer(frame.data, np.int16).astype(np.float64)
            loud = np.sqrt(np.mean(samples**2)) > LOUD
            silence = 0 if loud else silence + len(samples)
            spoke = spoke or bool(loud)
            if spoke and silence >= STT_SILENCE:
                spoke = False
                self._owner.heard += 1
                words = stt.SpeechData(language="en", text=f"words {self._owner.heard}")  # type: ignore[arg-type]
                self._event_ch.send_nowait(
                    stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[words])
                )


class Llm(llm.LLM[Any]):
    """A language model that answers "reply N" and keeps each context that it is asked to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[tuple[str, str]]] = []

    def chat(self, *, chat_ctx: llm.ChatContext, **options: Any) -> llm.LLMStream:
        self.asked.append([(item.role, item.raw_text_content or "") for item in chat_ctx.messages()])
        return Answer(self, chat_ctx, options.get("tools") or [], options["conn_options"])


class Answer(llm.LLMStream):
    def __init__(
        self, owner: Llm, chat_ctx: llm.ChatContext, tools: list[llm.Tool], options: APIConnectOptions
    ) -> None:
        super().__init__(owner, chat_ctx=chat_ctx, tools=tools, conn_options=options)
        self._text = f"reply {len(owner.asked)}"

    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=self._text)
        self._event_ch.send_nowait(llm.ChatChunk(id=self._text, delta=delta))


class Conversation:
    """A running session and what was added to its history."""

    def __init__(self, session: AgentSession[Any], caller: Caller, model: Llm) -> None:
        self.session, self.caller, self.llm = session, caller, model
        self.added: list[tuple[str, str]] = []
        self.news = asyncio.Event()
        session.on("conversation_item_added", self._on_item)

    def _on_item(self, event: Any) -> None:
        item = event.item
        if isinstance(item, llm.ChatMessage):
            self.added.append((item.role, item.raw_text_content or ""))
            self.news.set()

    async def replies(self, count: int) -> list[str]:
        """The replies that the user got, once there are so many."""
        async with asyncio.timeout(30):
            while len(said := [text for role, text in self.added if role == "assistant"]) < count:
                self.news.clear()
                await self.news.wait()
        return said


@asynccontextmanager
async def conversation(agent: Agent) -> AsyncIterator[Conversation]:
    """A session from its start to its end."""
    model, caller = Llm(), Caller()
    session: AgentSession[Any] = AgentSession(stt=Transcriber(), llm=model, vad=inference.VAD())
    session.input.audio = caller
    running = Conversation(session, caller, model)
    await session.start(agent)
    try:
        yield running
    finally:
        await session.aclose()


def notes(messages: Iterable[tuple[str, str]]) -> list[str]:
    """The texts of the guidance messages among these."""
    return [text for _, text in messages if is_note(text)]
