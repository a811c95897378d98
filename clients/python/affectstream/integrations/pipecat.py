"""Pipecat: the caller's tone of voice in the context before each reply. Extra: `affectstream[pipecat]`.

    affect = AffectProcessor("127.0.0.1:50551")
    Pipeline([transport.input(), affect, stt, aggregators.user(), affect.injector(), llm, tts, ...])

Utterances are those of Pipecat's own voice activity detection; with another
`config.endpointing.mode` they are the server's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from affectstream.client import AffectClient
from affectstream.config import AudioFormat, StreamConfig
from affectstream.enums import EndpointingMode
from affectstream.events import AffectEvent, Event
from affectstream.integrations.hearing import Hearing
from affectstream.tone import Policy, is_note, note

try:
    from pipecat.frames.frames import (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        EagerEndOfTurnCancelFrame,
        Frame,
        InputAudioRawFrame,
        InterruptionFrame,
        LLMContextFrame,
        LLMContextUserTurnFrame,
        SystemFrame,
        UserMuteStartedFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.processors.aggregators.llm_context import (
        LLMContext,
        LLMContextMessage,
        LLMSpecificMessage,
        standard_message_text,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
except ModuleNotFoundError as missing:
    raise ImportError(
        f'{missing.name} is not installed: pip install "affectstream[pipecat]"', name=missing.name
    ) from missing

log = logging.getLogger(__name__)

WAIT_MS: Final = 150
PRE_ROLL_S: Final = 0.25
"""Audio before the detected start that belongs to the utterance; covers the detection's own lag too."""
POST_ROLL_S: Final = 0.1
"""Silence after the detected end that belongs to the utterance."""


@dataclass
class AffectFrame(SystemFrame):
    """How one utterance was said, pushed downstream as soon as it is known. Interruptions spare it."""

    event: AffectEvent = field(repr=False)
    """The final event, also one without values (`event.status`)."""


class AffectProcessor(FrameProcessor):
    """Streams the input audio to an Affectstream server, and pushes an `AffectFrame` for each utterance.

    Place it between `transport.input()` and the STT. Every frame is passed on first; a server that is slow or
    gone never holds one up. A lost connection is opened again.

    Args:
        server: ``"host:port"`` in plain text, or an open `AffectClient` (TLS, tokens, shared by many calls).
        config: What the stream is asked for; its audio format is taken from the frames. None: defaults.
        policy: What is said of the reply, whatever the server says. None: what the server says, or the policy
            that comes along where it says nothing.
        **kwargs: For `FrameProcessor`.
    """

    def __init__(
        self,
        server: str | AffectClient,
        *,
        config: StreamConfig | None = None,
        policy: Policy | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        config = config or StreamConfig()
        mode = config.endpointing.mode or EndpointingMode.CALLER
        self._server = server
        self._config = replace(config, endpointing=replace(config.endpointing, mode=mode))
        self._policy = policy
        self._audio = AudioFormat()
        self._told = False
        self._hearing: Hearing | None = None
        self.consent_withdrawn = False
        """Nothing is told of how the user sounds."""

    @property
    def hearing(self) -> Hearing | None:
        """The conversation; None before the first audio."""
        return self._hearing

    def withdraw_consent(self) -> None:
        """The user withdrew consent: the server is told; no value is kept, pushed or put into a context."""
        self.consent_withdrawn = True
        if self._hearing is not None:
            self._hearing.withdraw_consent()

    def injector(self, *, wait_ms: int = WAIT_MS) -> AffectInjector:
        """The processor to place between the user aggregator and the LLM.

        Args:
            wait_ms: Longest wait for a turn's affect, 0..1000.

        Raises:
            ValueError: `wait_ms` is out of range.
        """
        return AffectInjector(self, wait_ms=wait_ms)

    async def cleanup(self) -> None:
        """End the conversation, at teardown."""
        if self._hearing is not None:
            await self._hearing.close()
        await super().cleanup()  # type: ignore[no-untyped-call]

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass the frame on, then listen to it."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._hear(frame)
        elif self._hearing is not None:
            self._follow(self._hearing, frame)

    def _hear(self, frame: InputAudioRawFrame) -> None:
        audio = AudioFormat(sample_rate_hz=frame.sample_rate, channel_count=frame.num_channels)
        if self._hearing is None:
            self._audio = audio
            self._hearing = Hearing(self._server, audio, self._config, self._on_event, self._policy)
            if self.consent_withdrawn:
                self._hearing.withdraw_consent()
        if audio == self._audio:
            self._hearing.hear(frame.audio)
        elif not self._told:
            self._told = True
            log.warning("%s: %s is not heard: the conversation began as %s", self, audio, self._audio)

    def _follow(self, hearing: Hearing, frame: Frame) -> None:
        match frame:
            case VADUserStartedSpeakingFrame():
                hearing.speech_started(frame.start_secs + PRE_ROLL_S)
            case VADUserStoppedSpeakingFrame():
                hearing.speech_ended(max(0.0, frame.stop_secs - POST_ROLL_S))
            case UserMuteStartedFrame():
                hearing.speech_ended(0.0)
            case BotStartedSpeakingFrame():
                hearing.agent_speaks(True)
            case BotStoppedSpeakingFrame():
                hearing.agent_speaks(False)

    async def _on_event(self, event: Event) -> None:
        if isinstance(event, AffectEvent) and event.is_final:
            await self.push_frame(AffectFrame(event=event))


class AffectInjector(FrameProcessor):
    """Puts the turn's tone of voice into the context that the LLM answers. Made by
    `AffectProcessor.injector`.

    It is one message, before the user's last: replaced by each turn that has guidance, removed by each that
    has none. A context that is run without new speech keeps it. Speculative contexts get it too.
    """

    def __init__(self, affect: AffectProcessor, *, wait_ms: int = WAIT_MS, **kwargs: Any) -> None:
        if not 0 <= wait_ms <= 1_000:
            raise ValueError(f"wait_ms is {wait_ms}, the limit is 0..1000")
        super().__init__(**kwargs)
        self._affect = affect
        self._wait_s = wait_ms / 1_000
        self._context: LLMContext | None = None
        self._speculated: str | None = None
        self._withdrawals = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass the frame on; a context only after the turn's affect, or the longest wait."""
        await super().process_frame(frame, direction)
        match frame:
            case LLMContextFrame() if direction is FrameDirection.DOWNSTREAM:
                if not await self._guide(frame):
                    return
            case EagerEndOfTurnCancelFrame() | InterruptionFrame():
                self._withdrawals += 1
                self._speculated = None
            case LLMContextUserTurnFrame() if direction is FrameDirection.DOWNSTREAM:
                self._confirm()
        await self.push_frame(frame, direction)

    async def _guide(self, frame: LLMContextFrame) -> bool:
        """Whether the context is still wanted after the wait."""
        hearing = self._affect.hearing
        if not frame.speculation:
            self._context, self._speculated = frame.context, None
        if self._affect.consent_withdrawn:
            _place(frame.context, "")
            return True
        if hearing is None or not hearing.is_unanswered:
            return True
        withdrawals = self._withdrawals
        event = await hearing.affect(self._wait_s)
        if frame.speculation and withdrawals != self._withdrawals:
            return False
        advice = event.guidance if event is not None else None
        text = note(advice) if advice is not None else ""
        _place(frame.context, text)
        if frame.speculation:
            self._speculated = text
        else:
            hearing.answered()
        return True

    def _confirm(self) -> None:
        """A turn was written to the context. What was speculated for it holds now."""
        if self._speculated is None or self._affect.hearing is None:
            return
        if self._context is not None:
            _place(self._context, "" if self._affect.consent_withdrawn else self._speculated)
        self._speculated = None
        self._affect.hearing.answered()


def _place(context: LLMContext, text: str) -> None:
    """Replace the note in `context`; empty: only remove it."""
    messages = [message for message in context.messages if not _is_note(message)]
    if text:
        message = cast("LLMContextMessage", {"role": "developer", "content": text})
        messages.insert(_last_user(messages), message)
    context.set_messages(messages)


def _is_note(message: LLMContextMessage) -> bool:
    return is_note(standard_message_text(message))


def _last_user(messages: Sequence[LLMContextMessage]) -> int:
    """Index of the user's last message; the end if there is none."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if not isinstance(message, LLMSpecificMessage) and message.get("role") == "user":
            return index
    return len(messages)
