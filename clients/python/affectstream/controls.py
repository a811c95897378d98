"""What a caller says beside audio: its own turn detection, turns, the agent's voice, pauses, consent.

Every method sends one control and gives a `SentControl`, which can be waited for:

    await stream.flush()                           # sent, and that is all
    flushed = await stream.flush()
    done = await flushed.done()                    # ControlDone, or ControlWithoutEffect is raised

The acknowledgement is among the stream's events too, whoever reads them. Positions count samples of every
channel at the declared rate on the session's timeline; None is the end of the audio sent so far. One in
the future waits until that audio was heard.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from affectstream import errors, events
from affectstream.contract import LIMITS
from affectstream.events import ControlDone, Event
from affectstream.line import Answers
from affectstream.timeouts import Timeouts, finite
from affectstream.trace_context import EXPECTED, is_traceparent
from affectstream.v1 import affect_pb2 as pb

MOST_TURN_ID_BYTES: Final = LIMITS.label_bytes


class SentControl:
    """A control that was sent."""

    def __init__(self, control_id: str, kind: str, inbox: Answers, limit_s: float) -> None:
        self.control_id: Final = control_id
        """As in its `ControlDone`."""
        self.kind: Final = kind
        """As the protocol names it, such as ``"flush_utterance"``."""
        self._inbox = inbox
        self._limit_s = limit_s
        self._answer: ControlDone | events.Warning | None = None

    async def done(self, timeout_s: float | None = None) -> ControlDone:
        """Wait until the server says that it took effect, and where.

        Events that come meanwhile are kept for the iteration, which may go on in another task, or later.

        Args:
            timeout_s: Above 0; None: `Timeouts.control_s`.

        Raises:
            ControlWithoutEffect: the server warned that it has none; `reason` says why.
            TimedOut: no answer in time. The control may still take effect.
            StreamClosed: the stream ended without an answer.
            AffectStreamError: the call ended with an error.
        """
        limit_s = self._limit_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(finite(limit_s)):
                while self._answer is None and not self._inbox.ended:
                    await self._inbox.more()
        except TimeoutError:
            raise errors.TimedOut(
                f"{self.kind} {self.control_id} was not acknowledged within {limit_s:g} s"
            ) from None
        match self._answer:
            case ControlDone() as done:
                return done
            case events.Warning() as warning:
                raise errors.ControlWithoutEffect(
                    warning.message,
                    reason=warning.code,
                    field=warning.field,
                    value=warning.value,
                    limit=warning.limit,
                )
        if self._inbox.error is not None:
            raise self._inbox.error
        raise errors.StreamClosed(f"the stream ended before {self.kind} {self.control_id} was acknowledged")

    def _take(self, answer: ControlDone | events.Warning) -> None:
        self._answer = answer


class Controls(ABC):
    """The controls of an `AffectStream`. Each raises what `AffectStream.send` raises."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._limit_s = timeouts.control_s
        self._count = 0
        self._unanswered: WeakValueDictionary[str, SentControl] = WeakValueDictionary()

    @property
    @abstractmethod
    def _open_inbox(self) -> Answers:
        """Where answers come. Raises `RuntimeError` before the stream is open."""

    @abstractmethod
    async def _send_control(self, control: pb.Control) -> None:
        """Send it after the audio given so far."""

    async def flush(self, *, position_samples: int | None = None, channel: int | None = None) -> SentControl:
        """End the open utterance here, so that its final event comes now.

        Args:
            position_samples: Where it ends.
            channel: Whose utterance; None: those of every analysed channel.
        """
        return await self._control(position_samples, channel, flush_utterance=pb.FlushUtterance())

    async def speech_started(
        self, *, position_samples: int | None = None, channel: int | None = None
    ) -> SentControl:
        """Begin an utterance: the caller's own detection heard speech. For `EndpointingMode.CALLER`.

        Args:
            position_samples: Its first sample, at most 2 s before the newest audio.
            channel: Who speaks; None: every analysed channel.
        """
        return await self._control(position_samples, channel, speech_started=pb.CallerSpeechStarted())

    async def speech_ended(
        self, *, position_samples: int | None = None, channel: int | None = None
    ) -> SentControl:
        """End the open utterance: the caller's own detection heard the end. For CALLER and MIXED.

        Args:
            position_samples: Where it ends, exclusive.
            channel: Who spoke; None: every analysed channel.
        """
        return await self._control(position_samples, channel, speech_ended=pb.CallerSpeechEnded())

    async def turn_started(
        self, turn_id: str, *, position_samples: int | None = None, traceparent: str | None = None
    ) -> SentControl:
        """Begin a turn of the user: its utterances are combined into one `TurnAffect`.

        Utterances count from when they begin, so open the turn before the user can speak. One is open
        at a time.

        Args:
            turn_id: The caller's own, 1..64 bytes of UTF-8.
            position_samples: Where it begins.
            traceparent: W3C trace context of the turn: parent of the server's spans of its utterances that
                begin from then on; None: as of the stream.
        """
        _check_turn_id(turn_id)
        if traceparent and not is_traceparent(traceparent):
            raise errors.InvalidRequest(f"traceparent is {traceparent!r}, expected {EXPECTED}")
        begun = pb.TurnStarted(turn_id=turn_id, traceparent=traceparent or "")
        return await self._control(position_samples, turn_started=begun)

    async def turn_ended(self, turn_id: str, *, position_samples: int | None = None) -> SentControl:
        """End a turn. Its `TurnAffect` comes after the final of its last utterance.

        Args:
            turn_id: As given to `turn_started`.
            position_samples: Utterances that begin from there on are not its.
        """
        _check_turn_id(turn_id)
        return await self._control(position_samples, turn_ended=pb.TurnEnded(turn_id=turn_id))

    @asynccontextmanager
    async def turn(self, turn_id: str, *, traceparent: str | None = None) -> AsyncIterator[SentControl]:
        """A turn that is open inside `async with`; gives its `turn_started`.

        It is ended where the block is left, also by an exception. `TurnAffect` is among the events.
        """
        started = await self.turn_started(turn_id, traceparent=traceparent)
        try:
            yield started
        except BaseException:
            with suppress(errors.AffectStreamError):
                await self.turn_ended(turn_id)
            raise
        await self.turn_ended(turn_id)

    async def agent_speech_started(
        self, *, position_samples: int | None = None, channel: int | None = None
    ) -> SentControl:
        """The agent's own voice plays: short speech now is its echo, longer speech a barge-in.

        Args:
            position_samples: From where on.
            channel: Where it is heard; None: every analysed channel.
        """
        return await self._control(position_samples, channel, agent_speech_started=pb.AgentSpeechStarted())

    async def agent_speech_ended(
        self, *, position_samples: int | None = None, channel: int | None = None
    ) -> SentControl:
        """The agent's own voice has ended. Arguments as for `agent_speech_started`."""
        return await self._control(position_samples, channel, agent_speech_ended=pb.AgentSpeechEnded())

    async def pause(self) -> SentControl:
        """No audio will come for a while, as on mute or hold. The open utterance ends here."""
        return await self._control(audio_paused=pb.AudioPaused())

    async def resume(self, *, position_samples: int | None = None) -> SentControl:
        """Audio goes on after `pause`.

        Args:
            position_samples: Where the next audio stands; what was missed becomes a `Gap`. None: time
                stood still, and it follows the audio before.
        """
        return await self._control(position_samples, audio_resumed=pb.AudioResumed())

    async def transcript(
        self,
        text: str,
        *,
        start_samples: int,
        end_samples: int,
        is_final: bool = True,
        channel: int | None = None,
    ) -> SentControl:
        """What was said in a span, to be weighed in where the server does (`Feature.TRANSCRIPT_FUSION`).

        Send it as soon as it is there: the final of its utterance waits for it no longer than the server's
        `fusion.wait_ms`. The stream's `language_code` must be one that the server understands.

        Args:
            text: At most 4 KiB of UTF-8. The server neither keeps nor logs it.
            start_samples: First sample of the span, as positions are.
            end_samples: Its end, exclusive.
            is_final: The recogniser will not change it any more; others are passed over.
            channel: Who said it; None: every analysed channel.
        """
        said = pb.Transcript(
            text=text, start_samples=start_samples, end_samples=end_samples, is_final=is_final
        )
        return await self._control(channel=channel, transcript=said)

    async def withdraw_consent(self) -> SentControl:
        """The speaker withdrew consent: every later final is CONSENT_WITHHELD, without values."""
        return await self._control(consent_withdrawn=pb.ConsentWithdrawn())

    async def _control(
        self, position_samples: int | None = None, channel: int | None = None, **kind: Any
    ) -> SentControl:
        self._count += 1
        control_id = f"c{self._count}"
        control = pb.Control(
            control_id=control_id, position_samples=position_samples, channel=channel, **kind
        )
        (name,) = kind
        sent = SentControl(control_id, name, self._open_inbox, self._limit_s)
        self._unanswered[control_id] = sent
        await self._send_control(control)
        return sent

    def _heard(self, event: Event) -> None:
        """Give an answer to the control that it is about."""
        if isinstance(event, ControlDone | events.Warning):
            sent = self._unanswered.pop(event.control_id, None)
            if sent is not None:
                sent._take(event)


def _check_turn_id(turn_id: str) -> None:
    size = len(turn_id.encode())
    if not 1 <= size <= MOST_TURN_ID_BYTES:
        raise errors.InvalidRequest(
            f"turn_id has {size} bytes, the limit is 1..{MOST_TURN_ID_BYTES}",
            reason="TURN_ID_LENGTH",
            field="turn_id",
            value=f"{size} bytes",
            limit=f"1 to {MOST_TURN_ID_BYTES} bytes",
        )
