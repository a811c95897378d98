"""LiveKit Agents: the caller's tone of voice in the context of each reply. Extra: `affectstream[livekit]`.

    agent = AffectAgent(affect=AffectListener("127.0.0.1:50551"), instructions="...")
    await AgentSession(stt=..., llm=..., tts=..., vad=...).start(agent=agent, room=...)

An agent that has `stt_node` or `llm_node` of its own calls `AffectListener.tee` and `.guided` there.
The context is copied, never changed, so a pre-emptive generation stays valid.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import Any, Final

from affectstream.client import AffectClient
from affectstream.config import AudioFormat, StreamConfig
from affectstream.integrations.hearing import Hearing, Listener
from affectstream.tone import Policy, note

try:
    from livekit import rtc
    from livekit.agents import Agent, AgentStateChangedEvent, FlushSentinel, ModelSettings, llm, stt
except ModuleNotFoundError as missing:
    raise ImportError(
        f'{missing.name} is not installed: pip install "affectstream[livekit]"', name=missing.name
    ) from missing

WAIT_MS: Final = 150


class AffectListener:
    """Hears the user of one session, and tells the LLM how they sounded. The server finds the utterances.

    Args:
        server: ``"host:port"`` in plain text, or an open `AffectClient` (TLS, tokens, shared by many calls).
        wait_ms: Longest wait of a reply for the affect of an utterance that is under way, 0..1000.
        config: What the stream is asked for; its audio format is taken from the frames. None: defaults.
        on_event: Awaited for each event of the server, in order; finals with their guidance.
        policy: What is said of the reply, whatever the server says. None: what the server says, or the policy
            that comes along where it says nothing.

    Raises:
        ValueError: `wait_ms` is out of range.
    """

    def __init__(
        self,
        server: str | AffectClient,
        *,
        wait_ms: int = WAIT_MS,
        config: StreamConfig | None = None,
        on_event: Listener | None = None,
        policy: Policy | None = None,
    ) -> None:
        if not 0 <= wait_ms <= 1_000:
            raise ValueError(f"wait_ms is {wait_ms}, the limit is 0..1000")
        self._server = server
        self._wait_s = wait_ms / 1_000
        self._config = config or StreamConfig()
        self._on_event = on_event
        self._policy = policy
        self._hearing: Hearing | None = None
        self._consent_withdrawn = False
        self._turn = ""
        self._asked_at = 0

    @property
    def hearing(self) -> Hearing | None:
        """The conversation; None while no audio comes."""
        return self._hearing

    def withdraw_consent(self) -> None:
        """The user withdrew consent: the server is told, and no value is kept or put into a context."""
        self._consent_withdrawn = True
        if self._hearing is not None:
            self._hearing.withdraw_consent()

    async def tee(self, audio: AsyncIterable[rtc.AudioFrame]) -> AsyncGenerator[rtc.AudioFrame, None]:
        """The same frames, heard on their way. Connects with the first, ends with the last; never waits.

        Args:
            audio: 16-bit frames of one format; those of another are passed on and not heard.
        """
        hearing: Hearing | None = None
        heard = AudioFormat()
        try:
            async for frame in audio:
                found = AudioFormat(sample_rate_hz=frame.sample_rate, channel_count=frame.num_channels)
                if hearing is None:
                    heard, hearing = (
                        found,
                        Hearing(self._server, found, self._config, self._on_event, self._policy),
                    )
                    self._hearing, self._asked_at = hearing, 0
                    if self._consent_withdrawn:
                        hearing.withdraw_consent()
                if found == heard:
                    hearing.hear(bytes(frame.data))
                yield frame
        finally:
            if hearing is not None:
                if self._hearing is hearing:
                    self._hearing = None
                await hearing.close()

    async def guided(self, chat_ctx: llm.ChatContext) -> llm.ChatContext:
        """A copy with one message about how the user sounded since the assistant last spoke, if that is
        known. It stands before the user's last message.

        Waits at most `wait_ms`, and only for an utterance that is under way.
        """
        guided = chat_ctx.copy()
        hearing = self._hearing
        if hearing is None:
            return guided
        turn = next((m.id for m in reversed(chat_ctx.messages()) if m.role == "assistant"), "")
        if turn != self._turn:
            self._turn = turn
            hearing.answered(self._asked_at)
        event = await hearing.affect(self._wait_s)
        self._asked_at = hearing.position
        advice = event.guidance if event is not None else None
        if advice is not None:
            guided.items.insert(_last_user(guided), llm.ChatMessage(role="system", content=[note(advice)]))
        return guided

    def follow_agent(self, change: AgentStateChangedEvent) -> None:
        """Tell the server when the agent's own voice plays: a handler for ``agent_state_changed``."""
        if self._hearing is not None and "speaking" in (change.old_state, change.new_state):
            speaks = change.new_state == "speaking"
            self._hearing.agent_speaks(speaks)
            if speaks:
                self._asked_at = self._hearing.position


class AffectAgent(Agent):
    """An agent whose replies know how the user sounded.

    Args:
        affect: Of this session.
        **kwargs: For `Agent`.
    """

    def __init__(self, *, affect: AffectListener, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._affect = affect

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncGenerator[stt.SpeechEvent, None]:
        """The default, with the audio heard on its way."""
        session = self.session
        session.on("agent_state_changed", self._affect.follow_agent)
        try:
            async with aclosing(self._affect.tee(audio)) as heard:
                async for event in Agent.default.stt_node(self, heard, model_settings):
                    yield event
        finally:
            session.off("agent_state_changed", self._affect.follow_agent)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[llm.ChatChunk | str | FlushSentinel, None]:
        """The default, with the guidance in a copy of the context."""
        guided = await self._affect.guided(chat_ctx)
        async for chunk in Agent.default.llm_node(self, guided, tools, model_settings):
            yield chunk


def _last_user(context: llm.ChatContext) -> int:
    """Index of the user's last message; the end if there is none."""
    for index in range(len(context.items) - 1, -1, -1):
        item = context.items[index]
        if isinstance(item, llm.ChatMessage) and item.role == "user":
            return index
    return len(context.items)
