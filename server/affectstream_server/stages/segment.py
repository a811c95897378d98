"""Segment: where utterances begin and end, from each block's speech probability.

An utterance is declared started when `min_speech` of speech was heard, and ended when a hang-over of
silence was: `hangover` with the FIXED policy, what `endpoint` says with the ADAPTIVE one. It holds
pre-roll, speech and a post-roll no longer than the silence already heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.endpoint import WEIGHTS, Phrase, Weights
from affectstream_server.timeline import samples_of_ms

CUT_SEARCH_SAMPLES: Final = samples_of_ms(2_000)
"""An utterance of the maximum length is cut at the least speech-like block of its last two seconds."""


class Trigger(Enum):
    """Why an utterance ended."""

    SPEECH_ENDED = "SPEECH_ENDED"
    MAX_DURATION = "MAX_DURATION"
    CLIENT_FLUSH = "CLIENT_FLUSH"
    AUDIO_STALLED = "AUDIO_STALLED"
    END_OF_AUDIO = "END_OF_AUDIO"


@dataclass(frozen=True, slots=True)
class Endpointing:
    """How utterances are found; lengths in samples at 16 kHz."""

    settings: EndpointingSettings
    min_speech: int
    hangover: int
    pre_roll: int
    post_roll: int
    max_utterance: int

    @classmethod
    def from_settings(cls, settings: EndpointingSettings) -> Endpointing:
        return cls(
            settings=settings,
            min_speech=samples_of_ms(settings.min_speech_ms),
            hangover=samples_of_ms(settings.hangover_ms),
            pre_roll=samples_of_ms(settings.pre_roll_ms),
            post_roll=samples_of_ms(settings.post_roll_ms),
            max_utterance=samples_of_ms(settings.max_utterance_ms),
        )


@dataclass(frozen=True, slots=True)
class Started:
    """An utterance began. Positions in samples at 16 kHz."""

    audio_start: int
    speech_start: int
    continues: bool
    """It goes on where the one before was cut."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An utterance ended: it is exactly ``[audio_start, audio_end)``. Positions in samples at 16 kHz."""

    audio_start: int
    audio_end: int
    speech_end: int
    speech_samples: int
    decidable_at: int
    trigger: Trigger


Boundary = Started | Ended
_NONE: Final[tuple[Boundary, ...]] = ()


class Segmenter:
    """Finds the utterances of one channel. Push every block's probability, in order."""

    def __init__(self, endpointing: Endpointing, weights: Weights = WEIGHTS) -> None:
        self._rules = endpointing
        self._speech_threshold = endpointing.settings.speech_threshold
        self._silence_threshold = endpointing.settings.silence_threshold
        adaptive = endpointing.settings.hangover_policy == "ADAPTIVE"
        self._phrase = Phrase(endpointing.hangover, weights) if adaptive else None
        self._shortest = self._phrase.shortest if self._phrase else endpointing.hangover
        self._enough_silence = max(1, endpointing.post_roll)
        self._hangover = 0
        self._floor = 0
        self._onset = -1
        self._start = 0
        self._speech = 0
        self._speech_end = 0
        self._cut_at = 0
        self._cut_probability = 2.0
        self._cut_speech = 0
        self._cut_speech_end = 0
        self.position = 0
        """Samples decided on so far."""
        self.is_open = False
        """An utterance is declared started and not ended."""
        self.min_speech = endpointing.min_speech
        """Speech needed before an utterance is declared; raised while the agent speaks."""

    @property
    def keep_from(self) -> int:
        """Audio before this position is not needed any more."""
        if self.is_open:
            return self._start
        onset = self._onset if self._onset >= 0 else self.position
        longest = self.position - self._rules.max_utterance
        return max(self._floor, onset - self._rules.pre_roll, longest)

    @property
    def heard_end(self) -> bool:
        """The silence heard now holds the open utterance's post-roll."""
        return self.is_open and self.position - self._speech_end >= self._enough_silence

    def so_far(self) -> Ended | None:
        """The open utterance as it will be if what follows is silence; None if none is open."""
        return self._ended(self.position, Trigger.SPEECH_ENDED) if self.is_open else None

    def jump(self, position: int) -> None:
        """Audio up to ``position`` does not exist. No utterance may be open."""
        self.position = self._floor = position
        self._onset = -1

    def push(self, probability: float) -> Sequence[Boundary]:
        """Take the next block's speech probability; returns what was decided, usually nothing."""
        block_start = self.position
        self.position = block_start + BLOCK_SAMPLES
        if not self.is_open:
            return self._look_for_start(block_start, probability)
        if probability >= self._silence_threshold:
            self._hear(probability)
            self._hangover = 0
        elif self._is_over():
            return (self._end(self.position, Trigger.SPEECH_ENDED),)
        return self._cut_if_long(block_start, probability)

    def finish(self, audio_end: int, trigger: Trigger) -> Ended | None:
        """End the open utterance because no audio follows ``audio_end``; None if there is none."""
        return self._end(audio_end, trigger) if self.is_open else None

    def _hear(self, probability: float) -> None:
        self._speech += BLOCK_SAMPLES
        self._speech_end = self.position
        if self._phrase is not None:
            self._phrase.speak(probability)

    def _is_over(self) -> bool:
        silence = self.position - self._speech_end
        if silence < self._shortest:
            return False
        if self._hangover == 0:
            self._hangover = self._phrase.hangover(self._speech) if self._phrase else self._shortest
        return silence >= self._hangover

    def _look_for_start(self, block_start: int, probability: float) -> Sequence[Boundary]:
        if probability >= self._speech_threshold:
            if self._onset < 0:
                self._onset = block_start
                self._speech = 0
            self._hear(probability)
            if self._speech >= self.min_speech:
                earliest = self.position - self._rules.max_utterance + BLOCK_SAMPLES
                start = max(self._floor, self._onset - self._rules.pre_roll, earliest)
                self._onset = max(self._onset, start)
                return (self._open(start, continues=False),)
        elif self._onset >= 0 and self.position - self._speech_end >= self._shortest:
            self._onset = -1
        return _NONE

    def _open(self, start: int, *, continues: bool) -> Started:
        self.is_open = True
        self._start = start
        self._cut_probability = 2.0
        self._hangover = 0
        return Started(start, self._onset, continues)

    def _end(self, decidable_at: int, trigger: Trigger) -> Ended:
        ended = self._ended(decidable_at, trigger)
        self.is_open = False
        self._onset = -1
        self._floor = ended.audio_end
        return ended

    def _ended(self, decidable_at: int, trigger: Trigger) -> Ended:
        audio_end = min(decidable_at, self._speech_end + self._rules.post_roll)
        return Ended(
            audio_start=self._start,
            audio_end=audio_end,
            speech_end=min(self._speech_end, audio_end),
            speech_samples=min(self._speech, audio_end - self._start),
            decidable_at=decidable_at,
            trigger=trigger,
        )

    def _cut_if_long(self, block_start: int, probability: float) -> Sequence[Boundary]:
        length = self.position - self._start
        if length < self._rules.max_utterance - CUT_SEARCH_SAMPLES:
            return _NONE
        if probability <= self._cut_probability and block_start > self._start:
            self._cut_probability = probability
            self._cut_at = block_start
            self._cut_speech = self._speech - (BLOCK_SAMPLES if self._speech_end > block_start else 0)
            self._cut_speech_end = min(self._speech_end, block_start)
        if length + BLOCK_SAMPLES <= self._rules.max_utterance:
            return _NONE
        cut = self._cut_at
        ended = Ended(
            audio_start=self._start,
            audio_end=cut,
            speech_end=self._cut_speech_end,
            speech_samples=self._cut_speech,
            decidable_at=self.position,
            trigger=Trigger.MAX_DURATION,
        )
        self._floor = self._onset = cut
        self._speech -= self._cut_speech
        # Where only silence follows, the rest is a block of it: no utterance is without samples.
        self._speech_end = max(self._speech_end, cut + BLOCK_SAMPLES)
        return (ended, self._open(cut, continues=True))
