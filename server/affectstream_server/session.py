"""One session on one stream: what it hears, what it says, and how it ends.

A session knows nothing of gRPC. Its edge feeds `receive` with messages, awaits `room` between them,
and runs `events.write_all`; the pipeline calls `decided` for each detected block.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.channel import Channel
from affectstream_server.errors import InvalidRequest, LimitReached, NotServed, ServiceError, Unavailable
from affectstream_server.info import limits_message
from affectstream_server.scoring.scorer import Scorer
from affectstream_server.settings import Settings
from affectstream_server.stages.decide import Verdict, final_event, model_message
from affectstream_server.stages.decode import Decoder
from affectstream_server.stages.emit import EventQueue
from affectstream_server.stages.receive import Order, StreamConfig, read_config
from affectstream_server.stages.score import ScoringQueue
from affectstream_server.stages.segment import Ended, Segmenter, Trigger
from affectstream_server.summary import Summary
from affectstream_server.timeline import duration, to_rate
from affectstream_server.utterance import Opened, Utterance

_BACKLOG_SAMPLES = LIMITS.unread_audio_ms * SAMPLE_RATE_HZ // 1_000
_EPOCH = 1


class Session:
    """A conversation's audio on its way to events.

    ``detect`` asks the pipeline to look at a channel's next block; ``new_slot`` gives the channel its
    place in the detector.
    """

    def __init__(
        self,
        settings: Settings,
        scorer: Scorer,
        detect: Callable[[Session, Channel], None],
        new_slot: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._scorer = scorer
        self._detect = detect
        self._new_slot = new_slot
        self._order = Order()
        self._config: StreamConfig | None = None
        self._summary = Summary()
        self._empty_chunks = 0
        self._frames = 0
        self._progress_due = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._interrupt: Callable[[], None] | None = None
        self._drain_deadline: float | None = None
        self._drain_idle_at = 0.0
        self._closed = False
        self.session_id = secrets.token_hex(16)
        self.channels: tuple[Channel, ...] = ()
        self.events = EventQueue(self.session_id, _EPOCH)
        self.scoring = ScoringQueue(
            scorer,
            deadline_ms=settings.scoring.deadline_ms,
            deliver=self._deliver,
        )
        self.failure: ServiceError | None = None
        """Why the stream ends early, where it does."""
        self.waiting_since: float | None = None
        """When the edge began to wait for the next message; None while it does not."""

    # -- receive ---------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """`end_of_audio` came: a half-close after it is no abandoned call."""
        return self._order.ended

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
            self._start(read_config(request.config, self._settings, (self._scorer.model.name,)))
        else:
            self._obey(request.control)

    async def room(self) -> None:
        """Wait until more audio may be taken: this is what makes a fast sender wait."""
        if not self._has_room.is_set():
            await self._has_room.wait()

    def _start(self, config: StreamConfig) -> None:
        self._config = config
        if config.session_id:
            self.session_id = config.session_id
        self.events.session_id = self.session_id
        self.channels = tuple(
            Channel(
                index,
                self._new_slot(),
                Decoder(config.format, index),
                Segmenter(config.endpointing),
                self.session_id,
            )
            for index in config.analysed
        )
        self._progress_due = config.progress_interval_ms * config.format.sample_rate_hz // 1_000
        started = pb.SessionStarted(
            session_epoch=_EPOCH,
            audio=pb.AudioFormat(
                encoding=pb.AudioEncoding.Value(f"AUDIO_ENCODING_{config.format.encoding}"),
                sample_rate_hz=config.format.sample_rate_hz,
                channel_count=config.format.channel_count,
            ),
            channels=config.channels,
            endpointing=pb.EndpointingConfig(
                mode=pb.ENDPOINTING_MODE_SERVER,
                hangover_policy=pb.HANGOVER_POLICY_FIXED,
                **config.endpointing.settings.model_dump(),
            ),
            outputs=config.effective_outputs(),
            limits=limits_message(self._settings),
            model=model_message(self._scorer.model),
            labels=config.labels,
        )
        started.time_origin.FromNanoseconds(time.time_ns())
        self._emit(pb.SessionEvent(session_started=started))
        if self._drain_deadline is not None:
            self._announce_drain()

    def _hear(self, chunk: pb.AudioChunk) -> None:
        config = self._configured()
        if not chunk.data:
            self._empty_chunks += 1
            return
        if chunk.HasField("start_samples") and chunk.start_samples != self._frames:
            raise NotServed(
                "audio.start_samples",
                f"{chunk.start_samples} where {self._frames} follows",
                instead="send audio without holes or overlaps",
            )
        now = time.perf_counter()
        for channel in self.channels:
            channel.feed(chunk.data, now)
        self._frames += len(chunk.data) // config.format.frame_bytes
        if self._frames > LIMITS.session_ms * config.format.sample_rate_hz // 1_000:
            raise LimitReached(
                "the session's audio is at its limit; start a new session",
                reason="SESSION_AGE",
                field="audio",
                value=f"{self._frames} samples",
                limit=f"{LIMITS.session_ms} ms",
            )
        self._look()
        if self._frames >= self._progress_due:
            interval = config.progress_interval_ms * config.format.sample_rate_hz // 1_000
            self._progress_due = self._frames + interval
            self._emit(pb.SessionEvent(progress=self._progress()))

    def _obey(self, control: pb.Control) -> None:
        kind = control.WhichOneof("control")
        if kind != "end_of_audio":
            raise NotServed(
                f"control.{kind}", kind, instead="leave it out; GetServerInfo.features says what is on"
            )
        if len(control.control_id.encode()) > LIMITS.label_bytes:
            raise InvalidRequest(
                "control.control_id",
                f"{len(control.control_id.encode())} bytes",
                f"at most {LIMITS.label_bytes} bytes",
            )
        if control.control_id:
            done = pb.ControlDone(control_id=control.control_id, position_samples=self._frames)
            self._emit(pb.SessionEvent(control_done=done))
        for channel in self.channels:
            channel.end_audio()
        self._look()
        self._advance()

    def _configured(self) -> StreamConfig:
        assert self._config is not None  # noqa: S101 - Order lets nothing past before the config
        return self._config

    def _look(self) -> None:
        """Ask the detector for every whole block, and stop reading where too much waits for it."""
        for channel in self.channels:
            if channel.has_block:
                self._detect(self, channel)
        self._make_room()

    def _make_room(self) -> None:
        waiting = max((channel.undecided for channel in self.channels), default=0)
        crowded = len(self.scoring) >= self._settings.scoring.max_pending_per_stream
        if waiting > _BACKLOG_SAMPLES // 2 or crowded:
            self._has_room.clear()
        else:
            self._has_room.set()

    # -- decide ----------------------------------------------------------------------------------

    def decided(self, channel: Channel, probability: float) -> None:
        """The detector's answer for a channel's next block."""
        self._take(channel, channel.decide(probability, time.perf_counter()))
        if not self._has_room.is_set() or self._order.ended:
            self._make_room()
            self._advance()

    def check_clock(self, now: float) -> None:
        """End open utterances whose audio stopped coming, and drain. ``now`` is `time.monotonic`."""
        if self._config is None or self._closed:
            return
        stall_s = self._config.endpointing.settings.stall_ms / 1_000
        if self.waiting_since is not None and now - self.waiting_since >= stall_s and not self.finished:
            for channel in self.channels:
                if channel.open_utterance_id and not channel.has_block:
                    self._close_utterance(channel, Trigger.AUDIO_STALLED)
        if self._drain_deadline is not None and self.failure is None:
            idle = not self.scoring and not any(channel.open_utterance_id for channel in self.channels)
            if now >= self._drain_deadline or (idle and now >= self._drain_idle_at):
                for channel in self.channels:
                    self._close_utterance(channel, Trigger.END_OF_AUDIO)
                self.interrupt(going_away())

    def _take(self, channel: Channel, decided: Sequence[Opened | Utterance]) -> None:
        for item in decided:
            if isinstance(item, Opened):
                self._summary.utterances += 1
                started = pb.SpeechStarted(
                    utterance_id=item.utterance_id,
                    audio_start=duration(item.bounds.audio_start),
                    speech_start=duration(item.bounds.speech_start),
                    continues_utterance_id=item.continues,
                )
                self._emit(pb.SessionEvent(channel=channel.index, speech_started=started))
            else:
                self._end_utterance(item)

    def _close_utterance(self, channel: Channel, trigger: Trigger) -> None:
        utterance = channel.close_utterance(trigger)
        if utterance is not None:
            self._end_utterance(utterance)

    def _end_utterance(self, utterance: Utterance) -> None:
        bounds: Ended = utterance.bounds
        ended = pb.SpeechEnded(
            utterance_id=utterance.utterance_id,
            audio_start=duration(bounds.audio_start),
            audio_end=duration(bounds.audio_end),
            speech_end=duration(bounds.speech_end),
            decidable_at=duration(bounds.decidable_at),
            trigger=pb.Trigger.Value(f"TRIGGER_{bounds.trigger.value}"),
        )
        self._emit(pb.SessionEvent(channel=utterance.channel, speech_ended=ended))
        self.scoring.submit(utterance, self._configured().endpointing.settings.min_utterance_ms)
        self._make_room()

    def _deliver(self, verdict: Verdict) -> None:
        event = final_event(verdict, self._scorer.model, embedding=self._configured().embedding)
        self._summary.add(event, verdict)
        self._emit(pb.SessionEvent(channel=verdict.utterance.channel, affect=event))
        self._make_room()
        self._advance()

    # -- emit and end ----------------------------------------------------------------------------

    def _emit(self, event: pb.SessionEvent) -> None:
        if self._closed:
            return
        try:
            self.events.put(event)
        except LimitReached as error:
            self.interrupt(error)

    def _progress(self) -> pb.Progress:
        rate = self._configured().format.sample_rate_hz
        oldest = self.scoring.oldest
        settled = [channel.settled_until for channel in self.channels]
        if oldest is not None:
            settled.append(oldest.bounds.audio_start)
        return pb.Progress(
            received_until_samples=self._frames,
            final_until_samples=min(self._frames, to_rate(min(settled), rate)),
            empty_chunks=self._empty_chunks,
        )

    def _advance(self) -> None:
        """After the end of audio: end what is open, and close when nothing is left to say."""
        if not self._order.ended or self._closed or any(channel.has_block for channel in self.channels):
            return
        for channel in self.channels:
            self._close_utterance(channel, Trigger.END_OF_AUDIO)
        if not self.scoring:
            self._close(pb.CLOSE_REASON_END_OF_AUDIO)

    def _close(self, reason: pb.CloseReason.ValueType, open_utterance_id: str = "") -> None:
        if self._config is not None:
            self._emit(pb.SessionEvent(progress=self._progress()))
            heard = max((channel.heard for channel in self.channels), default=0)
            self._emit(pb.SessionEvent(session_summary=self._summary.message(heard, self._empty_chunks)))
            closed = pb.SessionClosed(reason=reason, open_utterance_id=open_utterance_id)
            self._emit(pb.SessionEvent(session_closed=closed))
        self._closed = True
        self.events.close()

    async def settle(self, error: ServiceError) -> None:
        """Before an early end: deliver what was declared, then say why. Bounded by the deadlines."""
        await self.scoring.drained()
        if not self._closed:
            drained = isinstance(error, Unavailable)
            open_id = next((c.open_utterance_id for c in self.channels if c.open_utterance_id), "")
            self._close(pb.CLOSE_REASON_DRAIN if drained else pb.CLOSE_REASON_ERROR, open_id)

    def interrupt(self, error: ServiceError) -> None:
        """End the stream early with ``error``, once."""
        if self.failure is None:
            self.failure = error
            self._has_room.set()
            if self._interrupt is not None:
                self._interrupt()

    def drain(self, grace_s: float) -> None:
        """Announce the end: open utterances get ``grace_s``, an idle stream a tenth of it."""
        now = time.monotonic()
        self._drain_deadline = now + grace_s
        self._drain_idle_at = now + grace_s / 10
        if self._config is not None and not self._closed:
            self._announce_drain()

    def _announce_drain(self) -> None:
        closing = pb.SessionClosing(reason=pb.CLOSE_REASON_DRAIN)
        left = max(0.0, (self._drain_deadline or 0.0) - time.monotonic())
        closing.grace.FromMilliseconds(round(left * 1_000))
        self._emit(pb.SessionEvent(session_closing=closing))

    def abandon(self) -> None:
        """Drop everything: the call is over."""
        self._closed = True
        self.scoring.close()
        self.events.close()


def going_away() -> Unavailable:
    """The error of a stream that a shutting-down server ends or refuses."""
    return Unavailable(
        "the server is shutting down; start a new session elsewhere", reason="DRAINING", retry_after_s=1.0
    )
