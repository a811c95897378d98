"""One session: what it hears, what it says, and how it ends.

A session outlives the stream that brings its audio, where the caller asked for that. It knows nothing of
gRPC: its stream feeds it, its edge writes `events`, and the pipeline calls `decided` for each detected
block.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.ahead import ScoringAhead
from affectstream_server.announce import session_closing, session_started
from affectstream_server.auth import Identity
from affectstream_server.channel import Channel
from affectstream_server.controls import Controls, check_id
from affectstream_server.errors import ServiceError, Superseded, Unavailable
from affectstream_server.hearing import Hearing
from affectstream_server.resume import ResumeKey
from affectstream_server.scoring.load import Share
from affectstream_server.scoring.router import Route
from affectstream_server.settings import Settings
from affectstream_server.stages.caller import CallerSegmenter
from affectstream_server.stages.decode import AudioFormat, Decoder
from affectstream_server.stages.emit import EventQueue
from affectstream_server.stages.receive import StreamConfig, check_language, read_config
from affectstream_server.stages.segment import Segmenter, Trigger
from affectstream_server.timeline import samples_of_ms, to_rate
from affectstream_server.turns import Turns
from affectstream_server.utterance import Opened, Utterance
from affectstream_server.voice import Voice

_BACKLOG_SAMPLES: Final = LIMITS.unread_audio_ms * SAMPLE_RATE_HZ // 1_000
_RETAINED_SAMPLES: Final = samples_of_ms(2_000)
"""How late a caller may tell that speech began."""
IDLE_SHARE: Final = 0.1
"""Of the grace before an end, for streams in which nobody speaks."""
_CLOSE_REASONS: Final = {
    "DRAINING": pb.CLOSE_REASON_DRAIN,
    "STREAM_AGE": pb.CLOSE_REASON_STREAM_AGE,
    "SESSION_AGE": pb.CLOSE_REASON_SESSION_AGE,
    "SLOW_READER": pb.CLOSE_REASON_SLOW_READER,
}


class Detection(Protocol):
    """What a session asks of the pipeline."""

    def share(self, identity: Identity) -> Share:
        """A new stream's part in the scorers' work."""
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


class Stream(Protocol):
    """The call that brings a session's audio."""

    identity: Identity
    waiting_since: float | None
    opened_at: float

    def interrupt(self, error: ServiceError) -> None:
        """End the call early."""
        ...

    def stop_reading(self) -> None:
        """No more messages are wanted."""
        ...


@dataclass(frozen=True, slots=True)
class _Farewell:
    """The stream ends at ``deadline``, or from ``idle_at`` on when nothing is under way."""

    reason: pb.CloseReason.ValueType
    deadline: float
    idle_at: float


class Session:
    """A conversation's audio on its way to events."""

    def __init__(self, settings: Settings, scorer: Route, detection: Detection, stream: Stream) -> None:
        self._settings = settings
        self._scorer = scorer
        self._detection = detection
        self._controls = Controls(self)
        self._progress_due = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._farewell: _Farewell | None = None
        self._config: StreamConfig
        self._began_ns = time.time_ns()
        self.hearing: Hearing
        """From `start` on."""
        self.asked = pb.SessionConfig()
        """What the first stream asked for."""
        self.stream: Stream | None = stream
        """The call that brings audio; None: it was lost, and another may come."""
        self.identity = stream.identity
        """Who opened it."""
        self.session_id = secrets.token_hex(16)
        self.resume_key = ResumeKey()
        self.resumable = False
        """It is kept when its stream is lost."""
        self.channels: tuple[Channel, ...] = ()
        self.events = EventQueue(self.session_id)
        share = detection.share(self.identity)
        self.voice = Voice(
            scorer,
            share,
            self.events,
            deadline_ms=settings.scoring.deadline_ms,
            delivered=self._delivered,
            failed=self.interrupt,
        )
        self.events.on_relief = self._make_room
        self._ahead = ScoringAhead(settings.scoring, share, self.voice.scoring)
        self.failure: ServiceError | None = None
        """Why the session ends early, where it does."""

    # -- streams ---------------------------------------------------------------------------------

    def start(self, config: pb.SessionConfig) -> None:
        """Begin as the first stream asks. Raises `ServiceError`."""
        check_language(config.language_code, "config.language_code")
        self._scorer.choose(config.model, config.language_code)
        checked = self._config = read_config(config, self._settings, self._scorer.names)
        self.asked.CopyFrom(config)
        self.session_id = checked.session_id or self.session_id
        self.events.session_id = self.session_id
        self.resumable = self.events.retain = config.resumable and self._settings.server.resume_s > 0
        self.hearing = Hearing(self, checked.format)
        self.channels = tuple(self._open_channel(checked, index) for index in checked.analysed)
        self._progress_due = self._progress_frames
        self.voice.embedding = checked.embedding
        self.voice.min_utterance_ms = checked.endpointing.settings.min_utterance_ms
        self._ahead.provisional_interval = samples_of_ms(checked.provisional_interval_ms)
        self.emit(self._started())
        for index in checked.refused:
            self.voice.warn(
                "CHANNEL_NOT_ANALYSED",
                "the role of this channel's speaker forbids it; it stays silent",
                field="config.channels",
                value=index,
                limit=f"not {', '.join(self._settings.consent.refused_roles)}",
            )

    def go_on(self, stream: Stream, audio: AudioFormat, resume: pb.Resume) -> None:
        """Another stream brings the audio from now on. What it asks for was checked."""
        if self.stream is not None:
            self._leave_stream(pb.CLOSE_REASON_SUPERSEDED, Superseded())
        self.stream = stream
        self._config = replace(self._config, format=audio)
        heard_until = self.hearing.frames * audio.sample_rate_hz // self.hearing.format.sample_rate_hz
        accepted_until = heard_until if self.hearing.ended else max(heard_until, resume.audio_offset_samples)
        last_sequence = resume.last_sequence if resume.HasField("last_sequence") else None
        epoch = self.events.epoch + 1
        lost = self.events.move(self._started(epoch, accepted_until), last_sequence)
        if lost:
            self.warn("EVENTS_LOST", f"{lost} events before this stream are not kept any more", value=lost)
        if self._farewell is not None and self._farewell.reason != pb.CLOSE_REASON_DRAIN:
            self._farewell = None
        self._controls.next_stream(self.rate_hz, audio.sample_rate_hz)
        self.hearing.go_on(audio, resume.audio_offset_samples)
        self._progress_due = self.hearing.frames + self._progress_frames
        self._make_room()

    def lose_stream(self) -> None:
        """The call is over, and the session waits for another."""
        self.stream = None
        self.events.leave()

    @property
    def over(self) -> bool:
        """Nothing more is said."""
        return self.voice.closed

    @property
    def rate_hz(self) -> int:
        """The declared rate."""
        return self.hearing.format.sample_rate_hz

    @property
    def frames(self) -> int:
        """Position after the newest audio, in samples at the declared rate."""
        return self.hearing.frames

    @property
    def longest_frames(self) -> int:
        """Where a session's timeline ends, in samples at the declared rate."""
        return self.hearing.longest_frames

    @property
    def mode(self) -> pb.EndpointingMode.ValueType:
        """Who finds the utterances."""
        return self._config.mode

    @property
    def turns(self) -> Turns:
        """The caller's turns."""
        return self.voice.turns

    @property
    def _progress_frames(self) -> int:
        return self._config.progress_interval_ms * self.rate_hz // 1_000

    def control(self, control: pb.Control) -> None:
        """Take a control other than `end_of_audio`. Raises `InvalidRequest` or `NotServed`."""
        self._controls.take(control)

    def end_audio(self, control: pb.Control) -> None:
        """All audio was sent. Raises `InvalidRequest`."""
        check_id(control.control_id, "control.control_id")
        if self.hearing.ended:  # an earlier stream said so already
            return
        self.hearing.finish()
        self._controls.heard_more(within=self.frames, at_the_end=True)
        self.done(control, self.frames)
        self._look()
        self._advance()

    async def room(self) -> None:
        """Wait until more audio may be taken: this is what makes a fast sender wait."""
        if not self._has_room.is_set():
            await self._has_room.wait()
            self.hearing.heard_at = time.monotonic()

    def _started(self, epoch: int = 1, accepted_until: int = 0) -> pb.SessionEvent:
        event = session_started(self._config, self._settings, self._scorer.model, epoch, self._began_ns)
        started = event.session_started
        started.accepted_until_samples = accepted_until
        if self.resumable:
            started.resume_token = self.resume_key.token(epoch)
            started.resume_window.FromMilliseconds(round(self._settings.server.resume_s * 1_000))
        return event

    def _open_channel(self, config: StreamConfig, index: int) -> Channel:
        decoder = Decoder(config.format, index)
        if config.mode == pb.ENDPOINTING_MODE_CALLER:
            caller = CallerSegmenter(_RETAINED_SAMPLES, config.endpointing.max_utterance)
            return Channel(index, None, decoder, caller, self.session_id)
        segmenter = Segmenter(config.endpointing)
        return Channel(index, self._detection.open_slot(), decoder, segmenter, self.session_id)

    # -- hear: what hearing may touch, see `affectstream_server.hearing` ----------------------------

    def heard(self) -> None:
        """A chunk was heard."""
        self._controls.heard_more()
        self._look()
        if self.frames >= self._progress_due:
            self._progress_due = self.frames + self._progress_frames
            self.emit(pb.SessionEvent(progress=self._progress()))

    def missing_until(self, frames: int) -> None:
        """Audio up to ``frames`` will not come: what waits for it waits no longer."""
        self._controls.heard_more(within=frames)

    def end_before_hole(self, channel: Channel) -> None:
        """No audio follows what the channel heard: decide on it, and end the open utterance."""
        self.settle(channel)
        self._close_utterance(channel, Trigger.AUDIO_STALLED)

    def forget(self, channel: Channel) -> None:
        """What the channel hears next does not follow what it heard."""
        if channel.slot is not None:
            self._detection.reset_slot(channel.slot)

    def emit(self, event: pb.SessionEvent) -> None:
        """Queue an event."""
        self.voice.emit(event)

    def _look(self) -> None:
        """Ask the detector for every whole block, and stop reading where too much waits for it."""
        for channel in self.channels:
            if channel.slot is None:
                self.settle(channel)
            elif channel.has_block:
                self._detection.enqueue(self, channel)
        self._make_room()

    def _make_room(self) -> None:
        waiting = max((channel.undecided for channel in self.channels), default=0)
        crowded = len(self.voice.scoring) >= self._settings.scoring.max_pending_per_stream
        if (waiting > _BACKLOG_SAMPLES // 2 or crowded or self.events.is_crowded) and self.failure is None:
            self._has_room.clear()
        else:
            self._has_room.set()

    # -- decide ----------------------------------------------------------------------------------

    def decided(self, channel: Channel, probability: float) -> None:
        """The detector's answer for a channel's next block."""
        decided = channel.decide(probability, time.perf_counter())
        if decided:
            self.took(channel, decided)
        if channel.open_utterance_id:
            self._ahead.consider(channel, self.voice.is_scored)
        if self.turns.ended:
            self._end_turns()
        if not self._has_room.is_set() or self.hearing.ended:
            self._make_room()
            self._advance()

    def settle(self, channel: Channel, until: int | None = None) -> None:
        """Decide on everything that was heard, or up to ``until`` at 16 kHz where the caller detects."""
        if channel.slot is not None:
            self._detection.settle(self, channel)
        else:
            self.took(channel, channel.advance(until))

    def took(self, channel: Channel, decided: Sequence[Opened | Utterance]) -> None:
        """Utterances began or ended."""
        self.voice.took(channel.index, decided)
        self._make_room()

    def check_clock(self, now: float) -> None:
        """End open utterances whose audio stopped coming, and the stream when its time is over.

        ``now`` is `time.monotonic`.
        """
        if self.stream is None or self.failure is not None:
            return
        self._check_age(now, self.stream.opened_at)
        if self._farewell is not None and now >= self._farewell.deadline:
            self._end_stream(self._farewell.reason)
        if self.over:
            return
        stall_s = self._config.endpointing.settings.stall_ms / 1_000
        waits = self.stream is not None and self.stream.waiting_since is not None
        if waits and now - self.hearing.heard_at >= stall_s and not self.hearing.ended:
            self._controls.heard_more(within=self.frames)
            for channel in self.channels:
                if channel.open_utterance_id and (channel.slot is None or not channel.has_block):
                    self._close_utterance(channel, Trigger.AUDIO_STALLED)
            if self.turns.ended:
                self.voice.end_turns(max(channel.heard for channel in self.channels))
        if self._farewell is not None and now >= self._farewell.idle_at and self._is_idle:
            self._end_stream(self._farewell.reason)

    @property
    def _is_idle(self) -> bool:
        return not self.voice.scoring and not any(channel.open_utterance_id for channel in self.channels)

    def _close_utterance(self, channel: Channel, trigger: Trigger) -> None:
        utterance = channel.close_utterance(trigger)
        if utterance is not None:
            self.took(channel, (utterance,))

    # -- controls: what a control may touch, see `affectstream_server.controls` ---------------------

    def agent_speaks(self, channel: Channel, *, speaks: bool) -> None:
        """The agent's voice plays, or stopped: short speech is taken for its echo."""
        channel.agent_speaks = speaks
        if isinstance(channel.segmenter, Segmenter):
            least = self._config.endpointing.min_speech
            gate = samples_of_ms(self._settings.agent_speech.min_speech_ms)
            channel.segmenter.min_speech = max(least, gate) if speaks else least

    def pause(self) -> None:
        """No audio will come."""
        self.hearing.paused = True

    def resume(self, position: int | None) -> None:
        """Audio goes on at ``position`` at the declared rate; None: without a hole."""
        self.hearing.paused = False
        if position is not None and position > self.frames:
            self.hearing.skip_to(position)

    def withdraw_consent(self) -> None:
        """Every final from now on is without values."""
        self.voice.withdraw_consent()

    def done(self, control: pb.Control, position: int) -> None:
        """Acknowledge a control that took effect."""
        if control.control_id:
            done = pb.ControlDone(control_id=control.control_id, position_samples=position)
            self.voice.emit(pb.SessionEvent(control_done=done))
        self._end_turns()

    def warn(
        self,
        code: str,
        message: str,
        *,
        field: str = "",
        value: object = "",
        limit: object = "",
        control_id: str = "",
    ) -> None:
        """Say that something was wrong and the stream goes on."""
        self.voice.warn(code, message, field=field, value=value, limit=limit, control_id=control_id)

    # -- emit and end ----------------------------------------------------------------------------

    def _delivered(self) -> None:
        self._end_turns()
        self._make_room()
        self._advance()

    def _end_turns(self) -> None:
        if self.turns.ended:
            self.voice.end_turns(min(channel.begun_until for channel in self.channels))

    def _progress(self) -> pb.Progress:
        oldest = self.voice.scoring.oldest
        settled = [channel.settled_until for channel in self.channels]
        if oldest is not None:
            settled.append(oldest.bounds.audio_start)
        return pb.Progress(
            received_until_samples=self.frames,
            final_until_samples=min(self.frames, to_rate(min(settled), self.rate_hz)),
            empty_chunks=self.hearing.empty_chunks,
        )

    def _advance(self) -> None:
        """After the end of audio: end what is open, and close when nothing is left to say."""
        if not self.hearing.ended or self.over:
            return
        if any(channel.slot is not None and channel.has_block for channel in self.channels):
            return
        for channel in self.channels:
            self._close_utterance(channel, Trigger.END_OF_AUDIO)
        if not self.voice.scoring:
            self._close(pb.CLOSE_REASON_END_OF_AUDIO)

    def _close(self, reason: pb.CloseReason.ValueType, open_utterance_id: str = "") -> None:
        if not self.over:
            closed = pb.SessionClosed(reason=reason, open_utterance_id=open_utterance_id)
            heard = max(channel.heard for channel in self.channels)
            self.voice.close(closed, self._progress(), heard)

    async def settle_and_close(self) -> None:
        """Before an early end: deliver what was declared, then say why. Bounded by the deadlines."""
        await self.voice.scoring.drained()
        reason = self.failure.reason if self.failure is not None else ""
        open_id = next((c.open_utterance_id for c in self.channels if c.open_utterance_id), "")
        self._close(_CLOSE_REASONS.get(reason, pb.CLOSE_REASON_ERROR), open_id)

    def interrupt(self, error: ServiceError) -> None:
        """End the session early with ``error``, once."""
        if self.failure is None:
            self.failure = error
            self._has_room.set()
            if self.stream is not None:
                self.stream.interrupt(error)

    def say_farewell(self, reason: pb.CloseReason.ValueType, grace_s: float) -> None:
        """Announce the stream's end: open utterances get ``grace_s``, an idle stream a tenth of it."""
        now = time.monotonic()
        self._farewell = _Farewell(reason, now + grace_s, now + grace_s * IDLE_SHARE)
        if not self.over:
            self.emit(session_closing(reason, grace_s))

    def _check_age(self, now: float, opened_at: float) -> None:
        server = self._settings.server
        grace_s = min(server.drain_s, server.stream_age_s / 2)
        if self._farewell is None and now - opened_at >= server.stream_age_s - grace_s:
            self.say_farewell(pb.CLOSE_REASON_STREAM_AGE, grace_s)

    def _end_stream(self, reason: pb.CloseReason.ValueType) -> None:
        """The grace is over. Where the session goes on elsewhere, the open utterance stays open."""
        if self.over:
            if self.stream is not None:
                self.stream.stop_reading()
            return
        error = going_away() if reason == pb.CLOSE_REASON_DRAIN else _too_old()
        if self.resumable and reason == pb.CLOSE_REASON_STREAM_AGE:
            self._leave_stream(reason, error)
            return
        for channel in self.channels:
            self._close_utterance(channel, Trigger.END_OF_AUDIO)
        self.interrupt(error)

    def _leave_stream(self, reason: pb.CloseReason.ValueType, error: ServiceError) -> None:
        """This stream ends, and the session does not."""
        self.events.leave(pb.SessionEvent(session_closed=pb.SessionClosed(reason=reason)))
        if self.stream is not None:
            self.stream.interrupt(error)

    def abandon(self) -> None:
        """Drop everything: nobody listens."""
        self.voice.fall_silent()


def going_away() -> Unavailable:
    """The error of a stream that a shutting-down server ends or refuses."""
    return Unavailable(
        "the server is shutting down; start a new session elsewhere", reason="DRAINING", retry_after_s=1.0
    )


def _too_old() -> Unavailable:
    return Unavailable("the stream is at its age limit; open another", reason="STREAM_AGE", retry_after_s=0.0)
