"""Listening: from a session's chunks to the utterances that began and ended, on all of its channels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.ahead import ScoringAhead
from affectstream_server.auth import Identity
from affectstream_server.channel import Channel
from affectstream_server.explain import Explaining
from affectstream_server.flag import Flag
from affectstream_server.guidance import Advisor
from affectstream_server.hearing import Hearing
from affectstream_server.scoring.load import Share
from affectstream_server.scoring.router import Route
from affectstream_server.settings import Settings
from affectstream_server.stages.caller import CallerSegmenter
from affectstream_server.stages.decode import Decoder
from affectstream_server.stages.receive import StreamConfig
from affectstream_server.stages.segment import Segmenter, Trigger
from affectstream_server.stream_quota import StreamQuota
from affectstream_server.timeline import from_rate, samples_of_ms
from affectstream_server.utterance import Opened, Utterance

if TYPE_CHECKING:
    from affectstream_server.session import Session

_BACKLOG_SAMPLES: Final = LIMITS.unread_audio_ms * SAMPLE_RATE_HZ // 1_000
_RETAINED_SAMPLES: Final = samples_of_ms(2_000)
"""How late a caller may tell that speech began."""


class Detection(Protocol):
    """What a session asks of the pipeline."""

    def explaining(self, scorer: Route, share: Share, *, cues: bool, saliency: bool) -> Explaining | None:
        """What finals carry beside their scores; None: nothing."""
        ...

    def quota(self, identity: Identity) -> StreamQuota:
        """What it may take."""
        ...

    def advisor(self, language: str) -> Advisor | None:
        """What its events are advised by; None: guidance is off."""
        ...

    def open_slot(self) -> int:
        """A place in the detector."""
        ...

    def reset_slot(self, slot: int) -> None:
        """Forget what was heard there."""
        ...

    def enqueue(self, session: Session, channel: Channel) -> None:
        """Look at the channel's blocks in the next batches."""
        ...

    def settle(self, session: Session, channel: Channel) -> None:
        """Look at all of the channel's blocks now."""
        ...


class Listening:
    """Hears for a session, and tells its voice of each utterance."""

    def __init__(
        self,
        session: Session,
        config: StreamConfig,
        settings: Settings,
        detection: Detection,
        ahead: ScoringAhead,
    ) -> None:
        self._session = session
        self._config = config
        self._settings = settings
        self._detection = detection
        self._ahead = ahead
        self._has_room = Flag()
        self._has_room.set()
        self._allowed = True
        self._most_pending = settings.scoring.max_pending_per_stream
        self.hearing = Hearing(self, config.format)
        self.channels = tuple(self._open_channel(index) for index in config.analysed)

    @property
    def mode(self) -> pb.EndpointingMode.ValueType:
        """Who finds the utterances."""
        return self._config.mode

    @property
    def is_idle(self) -> bool:
        """Nobody speaks, and nothing is being scored."""
        return not self._session.voice.scoring and not self.open_utterance_id

    @property
    def open_utterance_id(self) -> str:
        """Id of an utterance that is open, on the first channel that has one; empty: none is."""
        return next((c.open_utterance_id for c in self.channels if c.open_utterance_id), "")

    @property
    def heard_until(self) -> int:
        """Position after the newest sample that came, at 16 kHz; a resampler may hold the last ones back."""
        hearing = self.hearing
        came = from_rate(hearing.frames, hearing.format.sample_rate_hz)
        return max(came, *(channel.heard for channel in self.channels))

    def has_room(self) -> bool:
        """Count what was heard; more may be taken at once. Where not, `room` waits for it."""
        channels = self.channels
        fed = channels[0].fed if len(channels) == 1 else sum(channel.fed for channel in channels)
        self._allowed = self._session.quota.take(fed, len(channels))
        return self._allowed and self._has_room.is_set()

    async def room(self) -> None:
        """Wait until more audio may be taken, after `has_room` said no: this makes a fast sender wait."""
        waited = not self._allowed and await self._session.quota.room()
        if not self._has_room.is_set():
            await self._has_room.wait()
            waited = True
        if waited:
            self.hearing.heard_at = time.monotonic()

    def look(self) -> None:
        """Ask the detector for every whole block, and stop reading where too much waits for it."""
        for channel in self.channels:
            if channel.slot is None:
                self.settle(channel)
            elif channel.has_block:
                if not channel.queued:
                    self._detection.enqueue(self._session, channel)
                self.make_room()

    def make_room(self) -> None:
        """Say whether more audio may be taken."""
        session = self._session
        busy = session.events.is_crowded or len(session.voice.scoring) >= self._most_pending
        for channel in self.channels:
            busy = busy or channel.undecided > _BACKLOG_SAMPLES // 2
        if busy and session.failure is None:
            self._has_room.clear()
        else:
            self._has_room.set()

    def decided(self, channel: Channel, probability: float, now: float) -> None:
        """The detector's answer for a channel's next block; ``now`` is `time.monotonic`."""
        session = self._session
        decided = channel.decide(probability, now)
        if decided:
            self.took(channel, decided)
        if channel.segmenter.is_open:
            self._ahead.consider(channel, session.voice.is_scored)
        if session.voice.turns.ended:
            session.end_turns()
        if not self._has_room.is_set() or self.hearing.ended:
            self.make_room()
            session.advance()

    def settle(self, channel: Channel, until: int | None = None) -> None:
        """Decide on everything that was heard, or up to ``until`` at 16 kHz where the caller detects."""
        if channel.slot is not None:
            self._detection.settle(self._session, channel)
        else:
            self.took(channel, channel.advance(until))

    def took(self, channel: Channel, decided: Sequence[Opened | Utterance]) -> None:
        """Utterances began or ended."""
        if decided:
            self._session.look_at = 0.0
        self._session.voice.took(channel.index, decided)
        self.make_room()

    def end_stalled(self) -> None:
        """No audio came for a while: end what is open."""
        for channel in self.channels:
            if channel.open_utterance_id and (channel.slot is None or not channel.has_block):
                self._end(channel, Trigger.AUDIO_STALLED)

    def end_open(self) -> bool:
        """No more audio comes: end what is open. False: the detector has not looked at all of it yet."""
        if any(channel.slot is not None and channel.has_block for channel in self.channels):
            return False
        for channel in self.channels:
            self._end(channel, Trigger.END_OF_AUDIO)
        return True

    def cut_open(self) -> None:
        """End what is open, with the audio heard so far."""
        for channel in self.channels:
            self._end(channel, Trigger.END_OF_AUDIO)

    def agent_speaks(self, channel: Channel, *, speaks: bool) -> None:
        """The agent's voice plays, or stopped: short speech is taken for its echo."""
        channel.agent_speaks = speaks
        if isinstance(channel.segmenter, Segmenter):
            least = self._config.endpointing.min_speech
            gate = samples_of_ms(self._settings.agent_speech.min_speech_ms)
            channel.segmenter.min_speech = max(least, gate) if speaks else least

    # -- what hearing asks, see `affectstream_server.hearing` ----------------------------------------

    def heard(self) -> None:
        """A chunk was heard."""
        self._session.heard()

    def missing_until(self, frames: int) -> None:
        """Audio up to ``frames`` will not come."""
        self._session.missing_until(frames)

    def end_before_hole(self, channel: Channel) -> None:
        """No audio follows what the channel heard: decide on it, and end the open utterance."""
        self.settle(channel)
        self._end(channel, Trigger.AUDIO_STALLED)

    def forget(self, channel: Channel) -> None:
        """What the channel hears next does not follow what it heard."""
        if channel.slot is not None:
            self._detection.reset_slot(channel.slot)

    def emit(self, event: pb.SessionEvent) -> None:
        """Queue an event."""
        self._session.voice.emit(event)

    def warn(self, code: str, message: str, *, field: str = "", value: object = "") -> None:
        """Say that something was wrong and the stream goes on."""
        self._session.voice.warn(code, message, field=field, value=value)

    def _end(self, channel: Channel, trigger: Trigger) -> None:
        utterance = channel.close_utterance(trigger)
        if utterance is not None:
            self.took(channel, (utterance,))

    def _open_channel(self, index: int) -> Channel:
        config, prefix = self._config, self._session.session_id
        decoder = Decoder(config.format, index)
        if config.mode == pb.ENDPOINTING_MODE_CALLER:
            caller = CallerSegmenter(_RETAINED_SAMPLES, config.endpointing.max_utterance)
            return Channel(index, None, decoder, caller, prefix)
        return Channel(index, self._detection.open_slot(), decoder, Segmenter(config.endpointing), prefix)
