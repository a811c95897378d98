"""What a client knows of one session, from call to call."""

from __future__ import annotations

from affectstream.enums import CloseReason
from affectstream.events import (
    AffectEvent,
    Event,
    Gap,
    Progress,
    SessionClosed,
    SessionStarted,
    SpeechStarted,
)
from affectstream.v1 import affect_pb2 as pb


class Session:
    """Positions here count from `origin`, where the caller's position 0 is the first session's."""

    def __init__(self, started: SessionStarted, rate_hz: int, origin: int) -> None:
        self._rate_hz = rate_hz
        self._sequence = 0
        self._ahead: set[int] = set()
        self._final_until: dict[int | None, int] = {c.index: 0 for c in started.channels if c.analyze}
        self._open: dict[str, None] = {}
        self.origin = origin
        """The caller's position of its first sample."""
        self.received_until = origin
        """The server has the audio before this caller's position."""
        self.accepted_until = origin
        """The same as the newest call began."""
        self.blocks_from = 0
        """Where the server's blocks begin to count, on its own timeline."""
        self.is_closed = False
        """All was said: `SessionClosed` came after the end of audio."""
        self.started = started
        """Of the newest call."""
        self.continue_with(started)

    @property
    def is_resumable(self) -> bool:
        """The server keeps it for a while when its call is lost."""
        return bool(self.started.resume_token)

    @property
    def progress_samples(self) -> int:
        """Audio from one `Progress` to the next."""
        return (self.started.outputs.progress_interval_ms or 0) * self._rate_hz // 1_000

    @property
    def final_until(self) -> int:
        """Speech before this caller's position has its final event."""
        return self.origin + min(self._final_until.values(), default=0)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Ids of utterances that have begun and have no final event."""
        return tuple(self._open)

    def continue_with(self, started: SessionStarted) -> None:
        """Another call continues it. Its first event is newer than what it has missed, which comes next."""
        self.started = started
        self.accepted_until = self.origin + started.accepted_until_samples
        self.received_until = max(self.received_until, self.accepted_until)
        self.take(started)

    def resume(self) -> pb.Resume:
        """What continues it on another call."""
        return pb.Resume(
            session_id=self.started.session_id,
            resume_token=self.started.resume_token,
            audio_offset_samples=self.received_until - self.origin,
            last_sequence=self._sequence,
        )

    def take(self, event: Event) -> bool:
        """Note an event; False: it came before."""
        if event.sequence <= self._sequence or event.sequence in self._ahead:
            return False
        if isinstance(event, SessionStarted):
            self._ahead.add(event.sequence)
        else:
            self._sequence = event.sequence
        while self._sequence + 1 in self._ahead:
            self._sequence += 1
        self._ahead = {ahead for ahead in self._ahead if ahead > self._sequence}
        self._note(event)
        return True

    def _note(self, event: Event) -> None:
        match event:
            case Progress():
                self.received_until = max(self.received_until, self.origin + event.received_until_samples)
                for channel in self._final_until:
                    self._note_final(channel, event.final_until_samples)
            case Gap():  # as after a pause, of which no progress tells before there is audio again
                self.received_until = max(
                    self.received_until, self.origin + event.audio_end.samples(self._rate_hz)
                )
            case SpeechStarted():
                self._open[event.utterance_id] = None
            case AffectEvent(is_final=True):
                self._open.pop(event.utterance_id, None)
                self._note_final(event.channel, event.audio_end.samples(self._rate_hz))
            case SessionClosed(reason=CloseReason.END_OF_AUDIO):
                self.is_closed = True

    def _note_final(self, channel: int | None, position: int) -> None:
        if channel in self._final_until:
            self._final_until[channel] = max(self._final_until[channel], position)
