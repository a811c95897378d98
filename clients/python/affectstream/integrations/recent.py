"""What was said since the agent last replied, and whether more of it is still to come."""

from __future__ import annotations

from collections import deque
from typing import Final

from affectstream import events
from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, Event, SpeechStarted

MOST_FINALS: Final = 64


class Recent:
    """Finals of the turn that is to be answered. Positions are samples since the first audio.

    Args:
        rate_hz: Samples a second.
        caller_detects: The caller bounds the utterances; else the server does.
    """

    def __init__(self, rate_hz: int, *, caller_detects: bool) -> None:
        self._rate_hz = rate_hz
        self._caller_detects = caller_detects
        self._base = 0
        self._finals: deque[tuple[int, AffectEvent | None]] = deque(maxlen=MOST_FINALS)
        self._open: deque[str] = deque(maxlen=MOST_FINALS)
        self._awaited: int | None = None
        self.ended_at = 0
        """Where speech ended last by the caller's own detection."""
        self.answered_until = 0
        """What ended up to here has its reply."""

    @property
    def is_awaited(self) -> bool:
        """An utterance of this turn is over, as far as is known, and its final has not come."""
        if not self._caller_detects:
            return bool(self._open)
        return self._awaited is not None and self._awaited > self.answered_until

    @property
    def is_unanswered(self) -> bool:
        """Something was said since the last reply, as far as is known here."""
        newest = self._finals[-1][0] if self._finals else 0
        return max(newest, self.ended_at) > self.answered_until or bool(self._open)

    def restart(self, base: int) -> None:
        """A new stream begins at position `base`; nothing more comes from the one before."""
        self._base = base
        self._open.clear()
        if self._awaited is not None and self._awaited <= base:
            self._awaited = None

    def speech_ended(self, position: int) -> None:
        """The caller's own detection heard speech end."""
        self.ended_at = position
        if self._caller_detects:
            self._awaited = position

    def forget(self) -> None:
        """Keep no event; when something was said stays known."""
        self._finals = deque(((end, None) for end, _ in self._finals), MOST_FINALS)

    def note(self, event: Event, *, keep: bool = True) -> None:
        """An event of the stream that `restart` began; ``keep``: a final's values may be asked for."""
        match event:
            case SpeechStarted():
                self._open.append(event.utterance_id)
            case AffectEvent() if event.is_final:
                end = self._base + event.audio_end.samples(self._rate_hz)
                self._finals.append((end, event if keep else None))
                if event.utterance_id in self._open:
                    self._open.remove(event.utterance_id)
                if self._awaited is not None and end >= self._awaited:
                    self._awaited = None
            case events.Warning() if event.control_id:
                self._awaited = None

    def affect(self) -> AffectEvent | None:
        """Of the utterances not answered yet, the one that weighs most; None: none has values.

        The weight is that of a server's turn: speech in seconds × (1 − entropy).
        """
        with_values = [
            event
            for end, event in self._finals
            if event is not None and end > self.answered_until and event.status == AffectStatus.OK
        ]
        return max(with_values, key=_weight, default=None)


def _weight(event: AffectEvent) -> float:
    quality, uncertainty = event.quality, event.uncertainty
    speech = quality.speech if quality is not None and quality.speech is not None else event.duration
    entropy = uncertainty.entropy if uncertainty is not None else None
    return speech.seconds * (1.0 - (entropy or 0.0))
