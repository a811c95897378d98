"""One session on one stream: what it hears, what it says, and how it ends.

A session knows nothing of gRPC. Its edge feeds `receive` with messages, awaits `room` between them,
and runs `events.write_all`; the pipeline calls `decided` for each detected block.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.ahead import ScoringAhead
from affectstream_server.announce import gap, session_closing, session_started
from affectstream_server.auth import Identity
from affectstream_server.channel import Channel
from affectstream_server.controls import Controls, check_id
from affectstream_server.errors import InvalidRequest, LimitReached, ServiceError, Unavailable
from affectstream_server.scoring.load import Share
from affectstream_server.scoring.router import Route
from affectstream_server.settings import Settings
from affectstream_server.stages.caller import CallerSegmenter
from affectstream_server.stages.decode import Decoder
from affectstream_server.stages.emit import EventQueue
from affectstream_server.stages.opus import Corrupt, Hole, Part, Unpacker, unpacker
from affectstream_server.stages.receive import Order, StreamConfig, check_language, read_config
from affectstream_server.stages.segment import Segmenter, Trigger
from affectstream_server.timeline import from_rate, samples_of_ms, to_rate
from affectstream_server.turns import Turns
from affectstream_server.utterance import Opened, Utterance
from affectstream_server.voice import Voice

_BACKLOG_SAMPLES: Final = LIMITS.unread_audio_ms * SAMPLE_RATE_HZ // 1_000
_RETAINED_SAMPLES: Final = samples_of_ms(2_000)
"""How late a caller may tell that speech began."""
_EPOCH: Final = 1
_CLOSE_REASONS: Final = {
    "DRAINING": pb.CLOSE_REASON_DRAIN,
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


class Session:
    """A conversation's audio on its way to events."""

    def __init__(self, settings: Settings, scorer: Route, detection: Detection, identity: Identity) -> None:
        self.identity = identity
        """Who opened it."""
        self._settings = settings
        self._scorer = scorer
        self._detection = detection
        self._order = Order()
        self._config: StreamConfig | None = None
        self._controls = Controls(self)
        self._unpacker: Unpacker | None = None
        self._empty_chunks = 0
        self._progress_due = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._interrupt: Callable[[], None] | None = None
        self._drain_deadline: float | None = None
        self._drain_idle_at = 0.0
        self._paused = False
        self._all_heard = False
        self._audio_at = time.monotonic()
        self.failed = asyncio.Event()
        """Set with `failure`."""
        self.session_id = secrets.token_hex(16)
        self.frames = 0
        """Position after the newest audio, in samples at the declared rate."""
        self.channels: tuple[Channel, ...] = ()
        self.events = EventQueue(self.session_id, _EPOCH)
        share = detection.share(identity)
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
        """Why the stream ends early, where it does."""
        self.waiting_since: float | None = None
        """When the edge began to wait for the next message; None while it does not."""

    # -- receive ---------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """`end_of_audio` came: a half-close after it is no abandoned call."""
        return self._order.ended

    @property
    def rate_hz(self) -> int:
        """The declared rate."""
        return self._configured().format.sample_rate_hz

    @property
    def longest_frames(self) -> int:
        """Where a session's timeline ends, in samples at the declared rate."""
        return LIMITS.session_ms * self.rate_hz // 1_000

    @property
    def mode(self) -> pb.EndpointingMode.ValueType:
        """Who finds the utterances."""
        return self._configured().mode

    @property
    def turns(self) -> Turns:
        """The caller's turns."""
        return self.voice.turns

    def on_interrupt(self, interrupt: Callable[[], None]) -> None:
        """``interrupt`` makes the edge stop waiting for messages."""
        self._interrupt = interrupt

    def receive(self, request: pb.StreamAffectRequest) -> None:
        """Take the next message. Raises `ServiceError`; the stream cannot go on then."""
        self._order = self._order.advance(request)
        kind = request.WhichOneof("request")
        if kind == "audio":
            self._hear(request.audio)
        elif kind == "config":
            check_language(request.config.language_code, "config.language_code")
            self._scorer.choose(request.config.model, request.config.language_code)
            self._start(read_config(request.config, self._settings, self._scorer.names))
        elif self._order.ended:
            self._end_audio(request.control)
        else:
            self._controls.take(request.control)

    async def room(self) -> None:
        """Wait until more audio may be taken: this is what makes a fast sender wait."""
        if not self._has_room.is_set():
            await self._has_room.wait()
            self._audio_at = time.monotonic()

    def _start(self, config: StreamConfig) -> None:
        self._config = config
        self._unpacker = unpacker(config.format)
        if config.session_id:
            self.session_id = config.session_id
        self.events.session_id = self.session_id
        self.channels = tuple(self._open_channel(config, index) for index in config.analysed)
        self._progress_due = config.progress_interval_ms * config.format.sample_rate_hz // 1_000
        self.voice.embedding = config.embedding
        self.voice.min_utterance_ms = config.endpointing.settings.min_utterance_ms
        self._ahead.provisional_interval = samples_of_ms(config.provisional_interval_ms)
        self.voice.emit(session_started(config, self._settings, self._scorer.model, _EPOCH))
        for index in config.refused:
            self.voice.warn(
                "CHANNEL_NOT_ANALYSED",
                "the role of this channel's speaker forbids it; it stays silent",
                field="config.channels",
                value=index,
                limit=f"not {', '.join(self._settings.consent.refused_roles)}",
            )
        if self._drain_deadline is not None:
            self._announce_drain()

    def _open_channel(self, config: StreamConfig, index: int) -> Channel:
        decoder = Decoder(config.format, index)
        if config.mode == pb.ENDPOINTING_MODE_CALLER:
            caller = CallerSegmenter(_RETAINED_SAMPLES, config.endpointing.max_utterance)
            return Channel(index, None, decoder, caller, self.session_id)
        segmenter = Segmenter(config.endpointing)
        return Channel(index, self._detection.open_slot(), decoder, segmenter, self.session_id)

    def _hear(self, chunk: pb.AudioChunk) -> None:
        config = self._configured()
        data = chunk.data
        if not data:
            self._empty_chunks += 1
            return
        if self._paused:
            self.warn("AUDIO_WHILE_PAUSED", "audio came while it was paused; it is taken as resumed")
            self._paused = False
        self._audio_at = time.monotonic()
        start = self._checked_start(chunk) if chunk.HasField("start_samples") else None
        if self._unpacker is None:
            self._hear_pcm(data, start)
            return
        if start is not None and config.format.encoding == "OGG_OPUS":
            raise InvalidRequest("audio.start_samples", start, "unset with OGG_OPUS: pages carry positions")
        self._hear_parts(self._unpacker.unpack(data), start)

    def _checked_start(self, chunk: pb.AudioChunk) -> int:
        if not 0 <= chunk.start_samples <= self.longest_frames:
            raise InvalidRequest("audio.start_samples", chunk.start_samples, f"0 to {self.longest_frames}")
        return chunk.start_samples

    def _hear_parts(self, parts: Iterable[Part], start: int | None = None) -> None:
        """What compressed audio was unpacked to."""
        for part in parts:
            if isinstance(part, Hole):
                self._skip_to(self.frames + part.frames)
            elif isinstance(part, Corrupt):
                position = self.frames if start is None else start
                self.warn(
                    "AUDIO_CORRUPT",
                    f"{part.cause} at sample {position}; silence stands for it",
                    field="audio.data",
                    value=f"sample {position}",
                )
            else:
                self._hear_pcm(part, start)
                start = None

    def _hear_pcm(self, data: bytes, start: int | None) -> None:
        config = self._configured()
        if start is not None and start != self.frames:
            data = self._align(data, start)
            if not data:
                return
        now = time.perf_counter()
        for channel in self.channels:
            channel.feed(data, now)
        self.frames += len(data) // config.format.frame_bytes
        if self.frames > self.longest_frames:
            raise LimitReached(
                "the session's audio is at its limit; start a new session",
                reason="SESSION_AGE",
                field="audio",
                value=f"{self.frames} samples",
                limit=f"{LIMITS.session_ms} ms",
            )
        self._controls.heard_more()
        self._look()
        if self.frames >= self._progress_due:
            interval = config.progress_interval_ms * config.format.sample_rate_hz // 1_000
            self._progress_due = self.frames + interval
            self.voice.emit(pb.SessionEvent(progress=self._progress()))

    def _align(self, data: bytes, start: int) -> bytes:
        """Audio that the caller numbers: drop what was heard before, make a hole a gap."""
        if start > self.frames:
            self._skip_to(start)
            return data
        return data[(self.frames - start) * self._configured().format.frame_bytes :]

    def _skip_to(self, frames: int) -> None:
        """Audio from here to ``frames`` is missing: it becomes a gap, and time does not shift."""
        now = time.perf_counter()
        position = from_rate(frames, self.rate_hz)
        start = from_rate(self.frames, self.rate_hz)
        for channel in self.channels:
            channel.end_audio(now)
        self._controls.heard_more(within=self.frames)
        for channel in self.channels:
            self.settle(channel)
            self._close_utterance(channel, Trigger.AUDIO_STALLED)
            channel.skip_to(max(position, channel.heard))
            if channel.slot is not None:
                self._detection.reset_slot(channel.slot)
        self.frames = frames
        if position > start:
            self.voice.emit(gap(start, position))

    def _end_audio(self, control: pb.Control) -> None:
        check_id(control.control_id, "control.control_id")
        if self._unpacker is not None:
            self._hear_parts(self._unpacker.finish())
        now = time.perf_counter()
        for channel in self.channels:
            channel.end_audio(now)
        self._controls.heard_more(within=self.frames, at_the_end=True)
        self.done(control, self.frames)
        self._all_heard = True
        self._look()
        self._advance()

    def _configured(self) -> StreamConfig:
        assert self._config is not None  # noqa: S101 - Order lets nothing past before the config
        return self._config

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
        if not self._has_room.is_set() or self._all_heard:
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
        """End open utterances whose audio stopped coming, and drain. ``now`` is `time.monotonic`."""
        if self._drain_deadline is not None and now >= self._drain_deadline and self.failure is None:
            self._end_for_drain()
        if self._config is None or self.voice.closed:
            return
        stall_s = self._config.endpointing.settings.stall_ms / 1_000
        silent = self.waiting_since is not None and now - self._audio_at >= stall_s
        if silent and not self.finished:
            self._controls.heard_more(within=self.frames)
            for channel in self.channels:
                if channel.open_utterance_id and (channel.slot is None or not channel.has_block):
                    self._close_utterance(channel, Trigger.AUDIO_STALLED)
            if self.turns.ended:
                self.voice.end_turns(max(channel.heard for channel in self.channels))
        if self._drain_deadline is not None and self.failure is None:
            idle = not self.voice.scoring and not any(channel.open_utterance_id for channel in self.channels)
            if idle and now >= self._drain_idle_at:
                self._end_for_drain()

    def _end_for_drain(self) -> None:
        """The grace is over: end open utterances, and the stream with them."""
        if self.voice.closed and self._config is not None:
            self._stop_reading()
            return
        for channel in self.channels:
            self._close_utterance(channel, Trigger.END_OF_AUDIO)
        self.interrupt(going_away())

    def _close_utterance(self, channel: Channel, trigger: Trigger) -> None:
        utterance = channel.close_utterance(trigger)
        if utterance is not None:
            self.took(channel, (utterance,))

    # -- controls: what a control may touch, see `affectstream_server.controls` ---------------------

    def agent_speaks(self, channel: Channel, *, speaks: bool) -> None:
        """The agent's voice plays, or stopped: short speech is taken for its echo."""
        channel.agent_speaks = speaks
        if isinstance(channel.segmenter, Segmenter):
            least = self._configured().endpointing.min_speech
            gate = samples_of_ms(self._settings.agent_speech.min_speech_ms)
            channel.segmenter.min_speech = max(least, gate) if speaks else least

    def pause(self) -> None:
        """No audio will come."""
        self._paused = True

    def resume(self, position: int | None) -> None:
        """Audio goes on at ``position`` at the declared rate; None: without a hole."""
        self._paused = False
        if position is not None and position > self.frames:
            self._skip_to(position)

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
            empty_chunks=self._empty_chunks,
        )

    def _advance(self) -> None:
        """After the end of audio: end what is open, and close when nothing is left to say."""
        if not self._all_heard or self.voice.closed:
            return
        if any(channel.slot is not None and channel.has_block for channel in self.channels):
            return
        for channel in self.channels:
            self._close_utterance(channel, Trigger.END_OF_AUDIO)
        if not self.voice.scoring:
            self._close(pb.CLOSE_REASON_END_OF_AUDIO)

    def _close(self, reason: pb.CloseReason.ValueType, open_utterance_id: str = "") -> None:
        if self._config is None:
            self.voice.fall_silent()
        elif not self.voice.closed:
            closed = pb.SessionClosed(reason=reason, open_utterance_id=open_utterance_id)
            heard = max(channel.heard for channel in self.channels)
            self.voice.close(closed, self._progress(), heard)

    async def settle_and_close(self, error: ServiceError) -> None:
        """Before an early end: deliver what was declared, then say why. Bounded by the deadlines."""
        await self.voice.scoring.drained()
        if not self.voice.closed:
            reason = _CLOSE_REASONS.get(error.reason, pb.CLOSE_REASON_ERROR)
            open_id = next((c.open_utterance_id for c in self.channels if c.open_utterance_id), "")
            self._close(reason, open_id)

    def interrupt(self, error: ServiceError) -> None:
        """End the stream early with ``error``, once."""
        if self.failure is None:
            self.failure = error
            self.failed.set()
            self._has_room.set()
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._interrupt is not None:
            self._interrupt()

    def drain(self, grace_s: float) -> None:
        """Announce the end: open utterances get ``grace_s``, an idle stream a tenth of it."""
        now = time.monotonic()
        self._drain_deadline = now + grace_s
        self._drain_idle_at = now + grace_s / 10
        if self._config is not None and not self.voice.closed:
            self._announce_drain()

    def _announce_drain(self) -> None:
        left_s = (self._drain_deadline or 0.0) - time.monotonic()
        self.voice.emit(session_closing(pb.CLOSE_REASON_DRAIN, left_s))

    def abandon(self) -> None:
        """Drop everything: the call is over."""
        self.voice.fall_silent()


def going_away() -> Unavailable:
    """The error of a stream that a shutting-down server ends or refuses."""
    return Unavailable(
        "the server is shutting down; start a new session elsewhere", reason="DRAINING", retry_after_s=1.0
    )
