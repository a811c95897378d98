"""One session: what it was asked for, what it says, and how it ends.

A session outlives the stream that brings its audio, where the caller asked for that. It knows nothing of
gRPC: its stream feeds it, its edge writes `events`, and the pipeline tells `listening` of each detected
block.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Final, Protocol

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.ahead import ScoringAhead
from affectstream_server.announce import session_closing, session_started
from affectstream_server.auth import Identity
from affectstream_server.bus.bus import Bus
from affectstream_server.bus.publication import Publication
from affectstream_server.channel import Channel
from affectstream_server.controls import Controls, check_id
from affectstream_server.endings import Farewell, close_reason, going_away, reason_name, too_old
from affectstream_server.errors import ServiceError, Superseded
from affectstream_server.hearing import Hearing
from affectstream_server.listening import Detection, Listening
from affectstream_server.observer import NOBODY, UNOBSERVED, Observer, pseudonym
from affectstream_server.resume import ResumeKey
from affectstream_server.scoring.router import Route
from affectstream_server.settings import Settings
from affectstream_server.stages.decode import AudioFormat
from affectstream_server.stages.emit import EventQueue
from affectstream_server.stages.fuse import TextFusion
from affectstream_server.stages.receive import StreamConfig, check_language, read_config
from affectstream_server.timeline import samples_of_ms, to_rate
from affectstream_server.turns import Turns
from affectstream_server.voice import Voice

_NOTHING: Final = pb.SessionConfig()
_QUIET_LOOK_S: Final = 5.0
"""Between looks at the clock of a session where nothing is due: most of many streams are silent."""


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


class Session:
    """A conversation's audio on its way to events. Begun by `start`."""

    listening: Listening
    _config: StreamConfig

    def __init__(
        self,
        settings: Settings,
        scorer: Route,
        detection: Detection,
        stream: Stream,
        *,
        bus: Bus | None = None,
        observer: Observer = NOBODY,
        fusion: TextFusion | None = None,
    ) -> None:
        """``bus``: where those who watch hear of it; ``fusion`` weighs in what was said."""
        self._observer = observer
        self._observed = UNOBSERVED
        self._settings = settings
        self._scorer = scorer
        self._detection = detection
        self._bus = bus
        self._progress_due = 0
        self.look_at = 0.0
        """`check_clock` has nothing to do before this time of `time.monotonic`."""
        self._farewell: Farewell | None = None
        self._began_ns = time.time_ns()
        self.asked = _NOTHING
        """What the first stream asked for, where another may continue."""
        self.stream: Stream | None = stream
        """The call that brings audio; None: it was lost, and another may come."""
        self.identity = stream.identity
        """Who opened it."""
        self.session_id = secrets.token_hex(16)
        self.resume_key = ResumeKey()
        self.resumable = False
        """It is kept when its stream is lost."""
        self.events = EventQueue(self.session_id)
        self.quota = detection.quota(self.identity)
        """What it may take."""
        self.voice = Voice(
            scorer,
            self.quota,
            self.events,
            deadline_ms=settings.scoring.deadline_ms,
            delivered=self._delivered,
            failed=self.interrupt,
            fusion=fusion,
        )
        self._controls = Controls(self)
        self.failure: ServiceError | None = None
        """Why the session ends early, where it does."""

    @property
    def told_id(self) -> str:
        """Its id as the log may be told it."""
        return self._observed.whose.session_id or "unborn"

    @property
    def hearing(self) -> Hearing:
        """Its audio."""
        return self.listening.hearing

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Those that are analysed."""
        return self.listening.channels

    @property
    def turns(self) -> Turns:
        """The caller's turns."""
        return self.voice.turns

    @property
    def over(self) -> bool:
        """Nothing more is said."""
        return self.voice.closed

    @property
    def _progress_frames(self) -> int:
        return self._config.progress_interval_ms * self.hearing.format.sample_rate_hz // 1_000

    # -- streams ---------------------------------------------------------------------------------

    def start(self, config: pb.SessionConfig) -> None:
        """Begin as the first stream asks. Raises `ServiceError`."""
        check_language(config.language_code, "config.language_code")
        self._scorer.choose(config.model, config.language_code)
        checked = self._config = read_config(config, self._settings, self._scorer.names)
        self.session_id = self.events.session_id = checked.session_id or self.session_id
        self.resumable = self.events.retain = config.resumable and self._settings.server.resume_s > 0
        if self.resumable:
            self.asked = pb.SessionConfig()
            self.asked.CopyFrom(config)
        ahead = ScoringAhead(self._settings.scoring, self.quota.share, self.voice.scoring)
        ahead.provisional_interval = samples_of_ms(checked.provisional_interval_ms)
        self.listening = Listening(self, checked, self._settings, self._detection, ahead)
        self.events.on_relief = self.listening.make_room
        told_id = self.session_id
        if checked.session_id and not self._settings.telemetry.pii:
            told_id = pseudonym(checked.session_id)
        observed = self._observer.session(self.session_id, told_id, config, self.identity.tenant)
        self._observed = self.voice.observer = self.voice.scoring.observer = self.events.observer = observed
        if self._bus is not None:
            self.events.publication = Publication(self._bus, self.identity.tenant, self.session_id)
        self._progress_due = self._progress_frames
        self.voice.advisor = self._detection.advisor(config.language_code)
        self.voice.embedding = checked.embedding
        self.voice.scoring.explaining = self._detection.explaining(
            self._scorer, self.quota.share, cues=checked.cues, saliency=checked.saliency
        )
        self.voice.listen_for_words(config.language_code, self._settings.fusion.wait_ms)
        self.voice.min_utterance_ms = checked.endpointing.settings.min_utterance_ms
        self.voice.emit(self._started())
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
        self.look_at = 0.0
        before = self.hearing.format.sample_rate_hz
        self._config = replace(self._config, format=audio)
        heard_until = self.hearing.frames * audio.sample_rate_hz // before
        accepted_until = heard_until if self.hearing.ended else max(heard_until, resume.audio_offset_samples)
        last_sequence = resume.last_sequence if resume.HasField("last_sequence") else None
        self._observed.moved(self.events.epoch + 1)
        self.events.move(self._started(self.events.epoch + 1, accepted_until), last_sequence)
        if self._farewell is not None and self._farewell.reason != pb.CLOSE_REASON_DRAIN:
            self._farewell = None
        self._controls.next_stream(before, audio.sample_rate_hz)
        self.hearing.go_on(audio, resume.audio_offset_samples)
        self._progress_due = self.hearing.frames + self._progress_frames
        self.listening.make_room()

    def lose_stream(self) -> None:
        """The call is over, and the session waits for another."""
        self.stream = None
        self.events.leave()
        self._observed.lost()

    def control(self, control: pb.Control) -> None:
        """Take a control other than `end_of_audio`. Raises `InvalidRequest` or `NotServed`."""
        self.look_at = 0.0
        self._controls.take(control)

    def end_audio(self, control: pb.Control) -> None:
        """All audio was sent. Raises `InvalidRequest`."""
        check_id(control.control_id, "control.control_id")
        if self.hearing.ended:  # an earlier stream said so already
            return
        self.hearing.finish()
        if self.voice.words is not None:
            self.voice.words.end()
        frames = self.hearing.frames
        self._controls.heard_more(within=frames, at_the_end=True)
        self.done(control, frames)
        self.listening.look()
        self.advance()

    def _started(self, epoch: int = 1, accepted_until: int = 0) -> pb.SessionEvent:
        quota = self.quota.tenant.quota
        event = session_started(
            self._config, self._settings, quota, self._scorer.model, epoch=epoch, began_ns=self._began_ns
        )
        started = event.session_started
        started.accepted_until_samples = accepted_until
        if self.voice.advisor is not None:
            started.guidance_policy = self.voice.advisor.policy.name
        if self.resumable:
            started.resume_token = self.resume_key.token(epoch)
            started.resume_window.FromMilliseconds(round(self._settings.server.resume_s * 1_000))
        return event

    # -- as audio comes ----------------------------------------------------------------------------

    def heard(self) -> None:
        """A chunk was heard."""
        self._controls.heard_more()
        self.listening.look()
        if self.hearing.frames >= self._progress_due:
            self._progress_due = self.hearing.frames + self._progress_frames
            self.voice.emit(pb.SessionEvent(progress=self._progress()))

    def missing_until(self, frames: int) -> None:
        """Audio up to ``frames`` will not come: what waits for it waits no longer."""
        self._controls.heard_more(within=frames)

    def check_clock(self, now: float) -> None:
        """End open utterances whose audio stopped coming, and the stream when its time is over.

        ``now`` is `time.monotonic`.
        """
        if now < self.look_at or self.stream is None or self.failure is not None:
            return
        if self._farewell is None and now >= self._old_at(self.stream.opened_at):
            self.say_farewell(pb.CLOSE_REASON_STREAM_AGE, self._age_grace_s)
        if self._farewell is not None and now >= self._farewell.deadline:
            self._end_stream(self._farewell.reason)
        if self.over:
            return
        stall_s = self._config.endpointing.settings.stall_ms / 1_000
        waits = self.stream.waiting_since is not None
        if waits and now - self.hearing.heard_at >= stall_s and not self.hearing.ended:
            self._controls.heard_more(within=self.hearing.frames)
            self.listening.end_stalled()
            if self.turns.ended:
                self.voice.end_turns(self.listening.heard_until)
        if self._farewell is not None and now >= self._farewell.idle_at and self.listening.is_idle:
            self._end_stream(self._farewell.reason)
        quiet = self.listening.is_idle and not self.turns.ended and not self._controls.waiting
        if quiet and self._farewell is None:
            self.look_at = min(now + _QUIET_LOOK_S, self._old_at(self.stream.opened_at))

    def done(self, control: pb.Control, position: int) -> None:
        """Acknowledge a control that took effect."""
        if control.control_id:
            done = pb.ControlDone(control_id=control.control_id, position_samples=position)
            self.voice.emit(pb.SessionEvent(control_done=done))
        self.end_turns()

    def end_turns(self) -> None:
        """Say the turns that are over."""
        if self.turns.ended:
            self.voice.end_turns(min(channel.begun_until for channel in self.channels))

    def _delivered(self) -> None:
        self.end_turns()
        self.listening.make_room()
        self.advance()

    def _progress(self) -> pb.Progress:
        unsettled_from = self.voice.scoring.unsettled_from
        settled = [channel.settled_until for channel in self.channels]
        if unsettled_from is not None:
            settled.append(unsettled_from)
        frames, rate_hz = self.hearing.frames, self.hearing.format.sample_rate_hz
        return pb.Progress(
            received_until_samples=frames,
            final_until_samples=min(frames, to_rate(min(settled), rate_hz)),
            empty_chunks=self.hearing.empty_chunks,
        )

    # -- the end -----------------------------------------------------------------------------------

    def advance(self) -> None:
        """After the end of audio: end what is open, and close when nothing is left to say."""
        if self.hearing.ended and not self.over and self.listening.end_open() and not self.voice.scoring:
            self._close(pb.CLOSE_REASON_END_OF_AUDIO)

    def _close(self, reason: pb.CloseReason.ValueType, open_utterance_id: str = "") -> None:
        if not self.over:
            closed = pb.SessionClosed(reason=reason, open_utterance_id=open_utterance_id)
            self._observed.closing(reason_name(reason))
            self.voice.close(closed, self._progress(), self.listening.heard_until)

    async def settle_and_close(self) -> None:
        """Before an early end: deliver what was declared, then say why. Bounded by the deadlines."""
        await self.voice.scoring.drained()
        self._close(close_reason(self.failure), self.listening.open_utterance_id)

    def interrupt(self, error: ServiceError) -> None:
        """End the session early with ``error``, once."""
        if self.failure is None:
            self.failure = error
            self.listening.make_room()
            if self.stream is not None:
                self.stream.interrupt(error)

    def say_farewell(self, reason: pb.CloseReason.ValueType, grace_s: float) -> None:
        """Announce that the stream is over in ``grace_s``; where nobody speaks, in a tenth of it."""
        now = time.monotonic()
        self.look_at = 0.0
        self._farewell = Farewell.within(grace_s, reason, now)
        if not self.over:
            self.voice.emit(session_closing(reason, grace_s))

    @property
    def _age_grace_s(self) -> float:
        server = self._settings.server
        return min(server.drain_s, server.stream_age_s / 2)

    def _old_at(self, opened_at: float) -> float:
        """When a stream that was opened then is told that it is too old."""
        return opened_at + self._settings.server.stream_age_s - self._age_grace_s

    def _end_stream(self, reason: pb.CloseReason.ValueType) -> None:
        """The grace is over. Where the session goes on elsewhere, the open utterance stays open."""
        if self.over:
            if self.stream is not None:
                self.stream.stop_reading()
            return
        error = going_away() if reason == pb.CLOSE_REASON_DRAIN else too_old()
        if self.resumable and reason == pb.CLOSE_REASON_STREAM_AGE:
            self._leave_stream(reason, error)
            return
        self.listening.cut_open()
        self.interrupt(error)

    def _leave_stream(self, reason: pb.CloseReason.ValueType, error: ServiceError) -> None:
        """This stream ends, and the session does not."""
        self.events.leave(pb.SessionEvent(session_closed=pb.SessionClosed(reason=reason)))
        if self.stream is not None:
            self.stream.interrupt(error)

    def abandon(self, reason: pb.CloseReason.ValueType = pb.CLOSE_REASON_ABANDONED) -> None:
        """Drop everything: nobody listens. Those who watch are told why."""
        self.voice.fall_silent()
        if self.failure is not None:
            reason = close_reason(self.failure)
        closed = pb.SessionClosed(reason=reason, open_utterance_id=self.listening.open_utterance_id)
        self.events.finish(pb.SessionEvent(session_closed=closed))
        self._observed.ended(reason_name(reason))
