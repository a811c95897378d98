"""Controls: what the caller says beside audio, and when it takes effect.

A control holds at a position. One in the past or at the end of the audio takes effect at once; one in the
future waits, ordered by position, until that audio was heard. What cannot take effect is a warning that
says why, and the stream goes on.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from affectstream.contract import LIMITS
from affectstream.trace_context import EXPECTED, is_traceparent
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.channel import Channel
from affectstream_server.errors import InvalidRequest, NotServed
from affectstream_server.hearing import Hearing
from affectstream_server.listening import Listening
from affectstream_server.no_effect import NoEffect
from affectstream_server.stages.caller import CallerSegmenter
from affectstream_server.stages.segment import Trigger
from affectstream_server.timeline import from_rate
from affectstream_server.turns import MOST_UNSETTLED
from affectstream_server.voice import Voice

MOST_WAITING: Final = 64
"""Controls of a stream that may wait for their audio."""
MOST_REMEMBERED: Final = 256
"""Ids of controls that are known again where another stream sends them once more."""
_NONE: Final[frozenset[str]] = frozenset()


class Host(Protocol):
    """What a control may touch: its session."""

    listening: Listening
    voice: Voice

    def done(self, control: pb.Control, position: int) -> None:
        """Acknowledge a control that took effect."""
        ...


@dataclass(slots=True, order=True)
class _Waiting:
    position: int
    number: int
    control: pb.Control


class Controls:
    """The controls of one session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._taken: list[str] = []
        self._before: frozenset[str] = _NONE

    @property
    def _listening(self) -> Listening:
        return self._host.listening

    @property
    def _hearing(self) -> Hearing:
        return self._host.listening.hearing

    @property
    def waiting(self) -> bool:
        """Some wait for their audio."""
        return bool(self._waiting)

    def next_stream(self, rate_hz: int, next_rate_hz: int) -> None:
        """Another stream continues the session: what the one before sent is not taken again."""
        self._before = frozenset(self._taken)
        for waiting in self._waiting:
            waiting.position = waiting.position * next_rate_hz // rate_hz

    def take(self, control: pb.Control) -> None:
        """Take a control other than `end_of_audio`. Raises `InvalidRequest` or `NotServed`."""
        kind = _checked(control)
        if kind == "transcript" and self._host.voice.fusion is None:
            raise NotServed("control.transcript", "text", instead="leave it out")
        hearing = self._hearing
        if control.control_id:
            if control.control_id in self._before:
                self._before -= {control.control_id}
                return
            self._taken.append(control.control_id)
            del self._taken[:-MOST_REMEMBERED]
        if hearing.ended:
            raise InvalidRequest(
                "request", "control", "nothing after control.end_of_audio", reason="MESSAGE_AFTER_END"
            )
        if kind == "consent_withdrawn":
            self._apply(control, kind)  # at once: what is not sent yet must not be sent
            return
        if kind == "transcript":
            self._take_words(control)
            return
        if control.HasField("position_samples") and kind == "audio_resumed":
            if not hearing.frames <= control.position_samples <= hearing.longest_frames:
                limit = f"{hearing.frames} to {hearing.longest_frames}"
                self._warn(control, kind, _out_of_range(control.position_samples, limit))
                return
        elif control.HasField("position_samples") or kind in ("speech_started", "speech_ended"):
            position = control.position_samples if control.HasField("position_samples") else hearing.frames
            farthest = hearing.frames + LIMITS.unread_audio_ms * hearing.format.sample_rate_hz // 1_000
            if not 0 <= position <= farthest:
                self._warn(control, kind, _out_of_range(position, f"0 to {farthest}"))
                return
            if not self._is_due(kind, position):
                self._wait(control, kind, position)
                return
        self._apply(control, kind)

    def heard_more(self, *, within: int | None = None, at_the_end: bool = False) -> None:
        """More audio was heard: let what waited for it take effect.

        ``within``: no more of the audio before this position will come, so what lies in it waits no longer.
        ``at_the_end``: no more audio will come at all; what lies beyond cannot take effect.
        """
        while self._waiting:
            first = self._waiting[0]
            kind = first.control.WhichOneof("control") or ""
            if not self._is_due(kind, first.position) and (within is None or first.position > within):
                break
            del self._waiting[0]
            self._apply(first.control, kind, first.position)
        while at_the_end and self._waiting:
            late = self._waiting.pop(0)
            kind = late.control.WhichOneof("control") or ""
            self._warn(
                late.control,
                kind,
                _out_of_range(late.position, f"at most {self._hearing.frames}, the end"),
            )

    def _take_words(self, control: pb.Control) -> None:
        """At once, wherever its span is: its utterance may wait for it, and so may the one after."""
        hearing, voice = self._hearing, self._host.voice
        try:
            if voice.words is None:
                known = ", ".join(voice.fusion.languages) if voice.fusion is not None else ""
                raise NoEffect(
                    "TRANSCRIPT_LANGUAGE", "words of the stream's language are not understood", limit=known
                )
            farthest = hearing.frames + LIMITS.unread_audio_ms * hearing.format.sample_rate_hz // 1_000
            channels = self._channels(control)
            voice.words.take(control.transcript, channels, hearing.format.sample_rate_hz, farthest)
        except NoEffect as problem:
            self._warn(control, "transcript", problem)
        else:
            self._host.done(control, hearing.frames)

    def _is_due(self, kind: str, position: int) -> bool:
        """Its audio came; where it bounds an utterance, also through the resampler."""
        if kind not in ("flush_utterance", "speech_started", "speech_ended", "audio_paused"):
            return position <= self._hearing.frames
        heard = min(channel.heard for channel in self._listening.channels)
        return from_rate(position, self._hearing.format.sample_rate_hz) <= heard

    def _wait(self, control: pb.Control, kind: str, position: int) -> None:
        if len(self._waiting) >= MOST_WAITING:
            full = NoEffect(
                "CONTROL_WITHOUT_EFFECT", "too many controls wait", len(self._waiting), MOST_WAITING
            )
            self._warn(control, kind, full)
            return
        self._count += 1
        bisect.insort(self._waiting, _Waiting(position, self._count, control))

    def _apply(self, control: pb.Control, kind: str, position: int | None = None) -> None:
        if position is None:
            position = (
                control.position_samples if control.HasField("position_samples") else self._hearing.frames
            )
        problems: list[NoEffect] = []
        try:
            channels = self._channels(control)
            for channel in channels:
                at = min(from_rate(position, self._hearing.format.sample_rate_hz), channel.heard)
                self._listening.settle(channel, at)
                try:
                    self._affect(channel, kind, at)
                except NoEffect as problem:
                    problems.append(problem)
            if len(problems) == len(channels):
                raise problems[0]
            self._affect_session(control, kind, position)
        except NoEffect as problem:
            self._warn(control, kind, problem)
        else:
            self._host.done(control, position)

    def _channels(self, control: pb.Control) -> Sequence[Channel]:
        channels = self._listening.channels
        if not control.HasField("channel"):
            return channels
        chosen = [channel for channel in channels if channel.index == control.channel]
        if not chosen:
            known = ", ".join(str(channel.index) for channel in channels)
            raise NoEffect(
                "NO_SUCH_CHANNEL", "the channel is not analysed", control.channel, f"one of {known}"
            )
        return chosen

    def _affect(self, channel: Channel, kind: str, at: int) -> None:
        match kind:
            case "flush_utterance":
                self._end(channel, at, Trigger.CLIENT_FLUSH)
            case "speech_started":
                self._begin(channel, at)
            case "speech_ended":
                if self._listening.mode == pb.ENDPOINTING_MODE_SERVER:
                    raise NoEffect(
                        "WRONG_MODE",
                        "the server finds utterances in this session",
                        "SERVER",
                        "CALLER or MIXED",
                    )
                self._end(channel, at, Trigger.SPEECH_ENDED)
            case "agent_speech_started" | "agent_speech_ended":
                self._listening.agent_speaks(channel, speaks=kind == "agent_speech_started")
            case "audio_paused" if channel.open_utterance_id:
                self._end(channel, at, Trigger.AUDIO_STALLED)

    def _affect_session(self, control: pb.Control, kind: str, position: int) -> None:
        turns = self._host.voice.turns
        at = from_rate(position, self._hearing.format.sample_rate_hz)
        match kind:
            case "turn_started":
                if turns.is_full:
                    raise NoEffect(
                        "CONTROL_WITHOUT_EFFECT", "too many turns wait for finals", limit=MOST_UNSETTLED
                    )
                if turns.open_id:
                    raise NoEffect("TURN_ALREADY_OPEN", "another turn is open", turns.open_id)
                turns.start(control.turn_started.turn_id, at, self._trace_of(control.turn_started))
            case "turn_ended":
                if turns.open_id != control.turn_ended.turn_id:
                    raise NoEffect(
                        "TURN_NOT_OPEN",
                        "that turn is not open",
                        control.turn_ended.turn_id,
                        turns.open_id or "none",
                    )
                if at < turns.open_start:
                    raise _out_of_range(position, "after the turn's start")
                turns.end(at)
            case "audio_paused":
                self._hearing.paused = True
            case "audio_resumed":
                self._hearing.paused = False
                if position > self._hearing.frames:
                    self._hearing.skip_to(position)
            case "consent_withdrawn":
                self._host.voice.withdraw_consent()

    def _begin(self, channel: Channel, start: int) -> None:
        if not isinstance(channel.segmenter, CallerSegmenter):
            raise NoEffect(
                "WRONG_MODE", "the server finds the start of utterances in this session", limit="CALLER"
            )
        if channel.open_utterance_id:
            raise NoEffect(
                "CONTROL_WITHOUT_EFFECT", "an utterance is open already", channel.open_utterance_id
            )
        try:
            opened = channel.begin_utterance(start)
        except ValueError as error:
            raise _out_of_range(start, f"at least {error.args[0]} at 16 kHz") from None
        self._listening.took(channel, (opened,))

    def _end(self, channel: Channel, end: int, trigger: Trigger) -> None:
        so_far = channel.segmenter.so_far()
        if so_far is None:
            raise NoEffect("CONTROL_WITHOUT_EFFECT", "no utterance is open")
        if end <= so_far.audio_start:
            raise _out_of_range(end, f"after {so_far.audio_start} at 16 kHz, where the utterance began")
        utterance = channel.close_utterance(trigger, end)
        if utterance is not None:
            self._listening.took(channel, (utterance,))

    def _trace_of(self, turn: pb.TurnStarted) -> str:
        """A turn's trace context, where it is one. The turn begins all the same: no control_id is named."""
        given = turn.traceparent
        if not given or is_traceparent(given):
            return given
        self._host.voice.warn(
            "TRACEPARENT_MALFORMED",
            f"turn {turn.turn_id}: its trace context is ignored",
            field="control.turn_started.traceparent",
            value=given[: LIMITS.label_bytes],
            limit=EXPECTED,
        )
        return ""

    def _warn(self, control: pb.Control, kind: str, problem: NoEffect) -> None:
        self._host.voice.warn(
            problem.code,
            f"control {kind} has no effect: {problem}",
            field=f"control.{kind}",
            value=problem.value,
            limit=problem.limit,
            control_id=control.control_id,
        )


def _out_of_range(position: int, limit: str) -> NoEffect:
    return NoEffect("POSITION_OUT_OF_RANGE", "its position is out of range", position, limit)


def _checked(control: pb.Control) -> str:
    """The kind of a control whose fields are sound."""
    kind = control.WhichOneof("control") or ""
    check_id(control.control_id, "control.control_id")
    if kind in ("turn_started", "turn_ended"):
        turn_id = getattr(control, kind).turn_id
        check_id(turn_id, f"control.{kind}.turn_id")
        if not turn_id:
            raise InvalidRequest(f"control.{kind}.turn_id", "empty", f"1 to {LIMITS.label_bytes} bytes")
    return kind


def check_id(text: str, field: str) -> None:
    """Refuse a caller's id that is too long. Raises `InvalidRequest`."""
    size = len(text.encode())
    if size > LIMITS.label_bytes:
        raise InvalidRequest(field, f"{size} bytes", f"at most {LIMITS.label_bytes} bytes")
