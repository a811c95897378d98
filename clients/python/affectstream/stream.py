"""One conversation: audio in, events out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from affectstream import errors, latency
from affectstream.config import AudioFormat
from affectstream.controls import Controls
from affectstream.events import Event, SessionStarted
from affectstream.line import Answers, Line
from affectstream.pcm import to_bytes
from affectstream.states import State
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb

if TYPE_CHECKING:
    from affectstream.pcm import Pcm


class AffectStream(Controls):
    """One stream, as an asynchronous context manager and iterator. Made by `AffectClient.stream`.

    Entering it connects, sends the configuration and waits for `SessionStarted`. Inside it one task
    sends and another iterates; both may be the same task only if it never sends faster than it reads.
    Iteration ends when the server closed the stream after `end`. Leaving the context before that,
    by an exception or by `break`, is an abandoned call: it is cancelled and the utterance
    that is open gets no final event.

    Cancelling a task inside `send`, a control, `end` or an iteration step leaves the stream whole: what
    was given goes out, and the next event is there for the next step. Of a `send` that waits for room in the
    ring, what had no room yet is not given.

    With `reconnect` the stream goes on when its call is lost: what stands above of leaving, cancelling and
    the end holds for the session then, and `affectstream.states` are among the events.
    """

    def __init__(self, line: Line, audio: AudioFormat, timeouts: Timeouts, target: str) -> None:
        super().__init__(timeouts)
        self._line = line
        self._audio = audio
        self._timeouts = timeouts
        self._target = target
        self._first: SessionStarted | None = None
        self._ended = False
        self._finished = False
        self._reading: asyncio.Timeout | None = None
        self._latency = latency.of_stream(audio.sample_rate_hz)

    @property
    def started(self) -> SessionStarted:
        """What is in force: the event that iteration gives first, or its like of a later call."""
        return self._line.started

    @property
    def session_id(self) -> str:
        """The session's id, made by the server where none was asked for."""
        return self.started.session_id

    @property
    def state(self) -> State:
        """How the line to the server stands: `Connected`, `Ended`, and others of `affectstream.states` where
        the stream reconnects."""
        return self._line.state

    @property
    def lost_samples(self) -> int:
        """Audio given to `send` that no server will hear, in samples of every channel; for streams that
        reconnect."""
        return self._line.lost_samples

    @property
    def position_samples(self) -> int:
        """Position after the newest audio given to `send`, at the declared rate; compressed audio does not
        count. A control without a position holds here."""
        return self._line.position

    async def __aenter__(self) -> Self:
        """Connect, configure, wait for `SessionStarted`. Not tried again, also where the stream reconnects.

        Raises:
            ConnectError: nobody answers at the address within `Timeouts.connect_s`.
            TimedOut: no `SessionStarted` within `Timeouts.session_start_s`.
            InvalidRequest, Unimplemented, ResourceExhausted, ...: the server refused the stream.
        """
        asked_at = time.perf_counter()
        self._first = await self._line.open(self._heard)
        if self._latency is not None:
            self._latency.started(time.perf_counter() - asked_at)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._finished = True
            self._line.cancel()
        await self._line.close()

    async def send(self, pcm: Pcm, *, start_samples: int | None = None) -> None:
        """Send some audio. Returns when it is gathered with what follows, or gRPC has taken it: at once
        while the server keeps up.

        A stream that reconnects keeps it in its ring, and waits only where audio comes faster than the server
        takes it: not for a line that is lost, unless `Reconnect.wait_when_full` says so.

        Longer audio than 1 s or 64 KiB goes out as several messages. Concurrent calls are sent one
        after another, each whole. Controls and `end` never overtake audio.

        Args:
            pcm: Whole frames in the declared encoding, or an array of shape (frames,) or
                (frames, channels): int16 for LINEAR16, float32 or float64 in -1..1 for FLOAT32.
            start_samples: Position of its first sample on the session's timeline, at the declared rate,
                for callers that number their audio: an overlap is dropped, a hole becomes a `Gap`.
                None: right after the audio before.

        Raises:
            InvalidRequest: not whole frames, or an array of another type or shape. Nothing was sent.
            StreamClosed: the stream has ended, by `end` or by the server without an error.
            AffectStreamError: the server ended the call with an error; told by one of the next sends.
        """
        self._check_open()
        sending = self._line.send(to_bytes(pcm, self._audio), start_samples)
        if self._latency is None:
            await sending
            return
        given_at = time.perf_counter()
        await sending
        self._latency.sent(self._line.position, given_at)

    async def end(self) -> None:
        """Say that all audio was sent, so that the open utterance ends and every final comes.

        Iteration goes on until the server has sent the last event. A second call does nothing.

        Raises:
            AffectStreamError: as from `send`.
        """
        if not self._ended:
            self._check_open()
            self._ended = True
        await self._line.end()
        if self._reading is not None:
            self._reading.reschedule(self._idle_deadline())

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event that this version knows; others are skipped.

        Raises:
            TimedOut: after `end`, nothing came for `Timeouts.idle_s`.
            AffectStreamError: the server ended the call with an error.
        """
        inbox = self._open_inbox
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while not inbox.events:
            if self._finished:
                raise StopAsyncIteration
            if inbox.ended:
                self._finished = True
                if inbox.error is not None:
                    raise inbox.error
                raise StopAsyncIteration
            await self._more(inbox)
        return inbox.take()

    def _heard(self, event: Event) -> None:
        super()._heard(event)
        if self._latency is not None:
            self._latency.heard(event)

    @property
    def _open_inbox(self) -> Answers:
        return self._line.inbox

    def _check_open(self) -> None:
        if self._ended or self._finished or self._open_inbox.ended:
            raise errors.StreamClosed("the stream has ended: nothing more can be sent")

    async def _send_control(self, control: pb.Control) -> None:
        self._check_open()
        await self._line.control(control)

    async def _more(self, inbox: Answers) -> None:
        """Wait for the next message, after `end` with a limit."""
        try:
            async with asyncio.timeout_at(self._idle_deadline() if self._ended else None) as self._reading:
                await inbox.more()
        except TimeoutError:
            self._finished = True
            raise errors.TimedOut(
                f"{self._target} sent nothing for {self._timeouts.idle_s:g} s after the end of audio"
            ) from None
        finally:
            self._reading = None

    def _idle_deadline(self) -> float | None:
        limit_s = finite(self._timeouts.idle_s)
        return None if limit_s is None else asyncio.get_running_loop().time() + limit_s
