"""What the contract says of one session: where its timeline is, which utterances it has, how it ends.

The caller finds the utterances here, so that each is known to the sample. Positions are samples at 16 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from affectstream.v1 import affect_pb2 as pb

Utterance = tuple[int, int, pb.Trigger.ValueType]
"""Start, end, why it ended."""
_ENDS: Final = {"flush_utterance": pb.TRIGGER_CLIENT_FLUSH, "speech_ended": pb.TRIGGER_SPEECH_ENDED}
_NO_EFFECT: Final = "CONTROL_WITHOUT_EFFECT"


@dataclass
class Timeline:
    """The session as far as it was heard."""

    heard: int = 0
    following: int = 0
    """Where a chunk without a position goes."""
    open_at: int | None = None
    paused: bool = False
    turn: str = ""
    utterances: list[Utterance] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    """Those that ended."""
    warnings: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    """Controls that took effect."""
    empty_chunks: int = 0
    earlier: frozenset[str] = frozenset()
    """Controls that an earlier stream sent: sent again, they are passed over."""
    sent: list[str] = field(default_factory=list)

    def audio(self, samples: int, start: int | None = None) -> None:
        """A chunk, at a position of its own or after the one before."""
        if not samples:
            self.empty_chunks += 1
            return
        if self.paused:
            self.paused = False
            self.warnings.append("AUDIO_WHILE_PAUSED")
        begin = self.following if start is None else start
        end = begin + samples
        self.following = max(self.following, end)
        if end <= self.heard:
            return
        if begin > self.heard:
            self.missing_until(begin)
        self.heard = end

    def missing_until(self, position: int) -> None:
        """Audio up to there will not come."""
        self._end(pb.TRIGGER_AUDIO_STALLED)
        self.gaps.append((self.heard, position))
        self.heard = position
        self.following = max(self.following, position)

    def control(self, kind: str, control_id: str, turn: str = "") -> None:
        """A control where the audio is."""
        if control_id in self.earlier:
            self.earlier -= {control_id}
            return
        self.sent.append(control_id)
        problem = self._problem(kind, turn)
        if problem:
            self.warnings.append(problem)
            return
        match kind:
            case "speech_started":
                self.open_at = self.heard
            case "flush_utterance" | "speech_ended":
                self._end(_ENDS[kind])
            case "audio_paused":
                self._end(pb.TRIGGER_AUDIO_STALLED)
                self.paused = True
            case "audio_resumed":
                self.paused = False
            case "turn_started":
                self.turn = turn
            case "turn_ended":
                self.turns.append(turn)
                self.turn = ""
        self.done.append(control_id)

    def resumed(self, offset: int) -> None:
        """Another stream brings the audio, from ``offset`` on."""
        self.earlier = frozenset(self.sent)
        self.following = offset
        if offset > self.heard:
            self.missing_until(offset)

    def ended(self, control_id: str) -> None:
        """All audio was sent."""
        self._end(pb.TRIGGER_END_OF_AUDIO)
        if self.turn:
            self.turns.append(self.turn)
        self.done += [control_id] if control_id else []

    def _end(self, trigger: pb.Trigger.ValueType) -> None:
        if self.open_at is not None:
            self.utterances.append((self.open_at, self.heard, trigger))
            self.open_at = None

    def _problem(self, kind: str, turn: str) -> str:
        match kind:
            case "speech_started":
                return _NO_EFFECT if self.open_at is not None else ""
            case "flush_utterance" | "speech_ended" if self.open_at is None:
                return _NO_EFFECT
            case "flush_utterance" | "speech_ended" | "audio_paused" if self.open_at == self.heard:
                return "POSITION_OUT_OF_RANGE"
            case "turn_started":
                return "TURN_ALREADY_OPEN" if self.turn else ""
            case "turn_ended":
                return "" if self.turn == turn else "TURN_NOT_OPEN"
        return ""
