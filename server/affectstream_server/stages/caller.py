"""Segment by the caller's own detection: an utterance is exactly what the caller says it is."""

from __future__ import annotations

from affectstream_server.stages.segment import Ended, Started, Trigger


class CallerSegmenter:
    """Holds the utterance that the caller began. Positions are samples at 16 kHz."""

    def __init__(self, retained: int, max_utterance: int) -> None:
        self._retained = retained
        self._max_utterance = max_utterance
        self._floor = 0
        self._start = 0
        self.position = 0
        """Samples heard so far."""
        self.is_open = False

    @property
    def keep_from(self) -> int:
        """Audio before this position is not needed any more: a start may be told late."""
        return self._start if self.is_open else max(self._floor, self.position - self._retained)

    def begin(self, start: int) -> Started:
        """The caller heard speech begin. Raises `ValueError` with the earliest start that is possible."""
        if self.is_open or start < self.keep_from:
            raise ValueError(self.keep_from)
        self.is_open = True
        self._start = start
        return Started(start, start, continues=False)

    def advance(self, position: int) -> tuple[Ended, Started] | tuple[()]:
        """Audio up to ``position`` was heard; an utterance of the maximum length is cut and goes on."""
        self.position = position
        if not self.is_open or position - self._start < self._max_utterance:
            return ()
        ended = self._ended(self._start + self._max_utterance, position, Trigger.MAX_DURATION)
        self._start = self._floor = ended.audio_end
        return ended, Started(self._start, self._start, continues=True)

    def finish(self, audio_end: int, trigger: Trigger) -> Ended | None:
        """End the open utterance at ``audio_end``; None if none is open."""
        if not self.is_open:
            return None
        ended = self._ended(audio_end, max(audio_end, self.position), trigger)
        self.is_open = False
        self._floor = audio_end
        return ended

    def so_far(self) -> Ended | None:
        """The open utterance as far as it was heard; None if none is open."""
        return self._ended(self.position, self.position, Trigger.SPEECH_ENDED) if self.is_open else None

    def jump(self, position: int) -> None:
        """Audio up to ``position`` does not exist. No utterance may be open."""
        self.position = self._floor = position

    def _ended(self, audio_end: int, decidable_at: int, trigger: Trigger) -> Ended:
        return Ended(
            audio_start=self._start,
            audio_end=audio_end,
            speech_end=audio_end,
            speech_samples=audio_end - self._start,
            decidable_at=decidable_at,
            trigger=trigger,
        )
