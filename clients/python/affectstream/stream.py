"""One conversation: audio in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import grpc

from affectstream import errors, status, writing
from affectstream.config import StreamConfig
from affectstream.controls import Controls
from affectstream.decode import decode
from affectstream.events import Event, SessionStarted
from affectstream.inbox import Inbox
from affectstream.outbox import Outbox
from affectstream.pcm import to_bytes
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from affectstream.writing import Call

if TYPE_CHECKING:
    from affectstream.pcm import Pcm


STATUS_S: Final = 1.0


class AffectStream(Controls):
    """One stream, as an asynchronous context manager and iterator. Made by `AffectClient.stream`.

    Entering it connects, sends the configuration and waits for `SessionStarted`. Inside it one task
    sends and another iterates; both may be the same task only if it never sends faster than it reads.
    Iteration ends when the server closed the stream after `end`. Leaving the context before that,
    by an exception or by `break`, is an abandoned call: it is cancelled and the utterance
    that is open gets no final event.

    Cancelling a task inside `send`, a control, `end` or an iteration step leaves the stream whole: what
    was given goes out, and the next event is there for the next step.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        target: str,
        config: StreamConfig,
        timeouts: Timeouts,
        metadata: Callable[[], Awaitable[grpc.aio.Metadata]],
    ) -> None:
        super().__init__(timeouts)
        self._channel = channel
        self._target = target
        self._config = config
        self._timeouts = timeouts
        self._metadata = metadata
        self._call: Call | None = None
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._started: SessionStarted | None = None
        self._first_pending = True
        self._ended = False
        self._finished = False
        self._reading: asyncio.Timeout | None = None

    @property
    def started(self) -> SessionStarted:
        """What is in force; the same event that iteration gives first."""
        if self._started is None:
            raise RuntimeError("the stream is not open: use `async with`")
        return self._started

    @property
    def session_id(self) -> str:
        """The session's id, made by the server where none was asked for."""
        return self.started.session_id

    @property
    def position_samples(self) -> int:
        """Position after the newest audio given to `send`, at the declared rate; compressed audio does not
        count. A control without a position holds here."""
        return self._open_outbox.position

    async def __aenter__(self) -> Self:
        """Connect, configure, wait for `SessionStarted`.

        Raises:
            ConnectError: nobody answers at the address within `Timeouts.connect_s`.
            TimedOut: no `SessionStarted` within `Timeouts.session_start_s`.
            InvalidRequest, Unimplemented, ResourceExhausted, ...: the server refused the stream.
        """
        if self._call is not None:
            raise RuntimeError("a stream is used once: make another with `client.stream`")
        metadata = await self._metadata()
        call = self._call = AffectServiceStub(self._channel).StreamAffect(metadata=metadata)
        try:
            self._started = await self._open(call)
        except BaseException:
            call.cancel()
            raise
        self._inbox = Inbox(call, lambda: self._failure(call), self._heard)
        self._outbox = Outbox(call, self._config.audio, self._config.coalesce_ms)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            self._finished = True
            if self._call is not None:
                self._call.cancel()
        if self._outbox is not None and self._inbox is not None:
            await self._outbox.close()
            await self._inbox.close()

    async def send(self, pcm: Pcm, *, start_samples: int | None = None) -> None:
        """Send some audio. Returns when it is gathered with what follows, or gRPC has taken it: at once
        while the server keeps up.

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
        data = to_bytes(pcm, self._config.audio)
        if self._open_outbox.add_audio(data, start_samples):
            await self._drain()

    async def end(self) -> None:
        """Say that all audio was sent, so that the open utterance ends and every final comes.

        Iteration goes on until the server has sent the last event. A second call does nothing.

        Raises:
            AffectStreamError: as from `send`.
        """
        outbox = self._open_outbox
        if not self._ended:
            self._check_open()
            self._ended = True
            outbox.add(pb.StreamAffectRequest(control=pb.Control(end_of_audio=pb.EndOfAudio())))
            outbox.add_close()
        await self._drain()
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
        if self._first_pending:
            self._first_pending = False
            return self.started
        while not inbox.events:
            if self._finished:
                raise StopAsyncIteration
            if inbox.ended:
                self._finished = True
                if inbox.error is not None:
                    raise inbox.error
                raise StopAsyncIteration
            await self._more(inbox)
        return inbox.events.popleft()

    @property
    def _open_inbox(self) -> Inbox:
        if self._inbox is None:
            raise RuntimeError("the stream is not open: use `async with`")
        return self._inbox

    @property
    def _open_outbox(self) -> Outbox:
        if self._outbox is None:
            raise RuntimeError("the stream is not open: use `async with`")
        return self._outbox

    def _check_open(self) -> None:
        if self._ended or self._finished or self._open_inbox.ended:
            raise errors.StreamClosed("the stream has ended: nothing more can be sent")

    async def _send_control(self, control: pb.Control) -> None:
        self._check_open()
        outbox = self._open_outbox
        outbox.add(pb.StreamAffectRequest(control=control))
        if control.HasField("audio_resumed") and control.HasField("position_samples"):
            outbox.jump(control.position_samples)
        await self._drain()

    async def _drain(self) -> None:
        try:
            await self._open_outbox.drain()
        except writing.WriteFailed:
            assert self._call is not None  # noqa: S101 - the outbox writes to it
            raise await self._failure(self._call) from None

    async def _open(self, call: Call) -> SessionStarted:
        config = pb.StreamAffectRequest(config=self._config.to_proto())
        try:
            async with asyncio.timeout(finite(self._timeouts.connect_s)):
                await writing.write(call, config)
        except TimeoutError:
            raise status.connect_error(self._target, "timed out") from None
        except writing.WriteFailed:
            raise await self._failure(call, connecting=True) from None
        try:
            async with asyncio.timeout(finite(self._timeouts.session_start_s)):
                first = await call.read()
        except TimeoutError:
            raise errors.TimedOut(
                f"{self._target} took the configuration and sent no event "
                f"within {self._timeouts.session_start_s:g} s"
            ) from None
        except grpc.aio.AioRpcError:
            raise await self._failure(call, connecting=True) from None
        event = decode(first.event) if isinstance(first, pb.StreamAffectResponse) else None
        if isinstance(event, SessionStarted):
            return event
        if event is None and await call.code() != grpc.StatusCode.OK:
            raise await self._failure(call, connecting=True)
        raise errors.ProtocolError(f"{self._target} did not begin with session_started")

    async def _more(self, inbox: Inbox) -> None:
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

    async def _failure(self, call: Call, *, connecting: bool = False) -> errors.AffectStreamError:
        """Why the call ended, as an error of the tree."""
        closed = errors.StreamClosed("the server has closed the stream: its last events say why")
        try:
            # The status comes after the last event was read; a caller that sends and does not read
            # must not wait for it.
            async with asyncio.timeout(STATUS_S):
                code, text = await call.code(), await call.details() or ""
        except TimeoutError:
            return closed
        if code == grpc.StatusCode.OK:
            return closed
        error = status.to_error(code, text, await call.trailing_metadata())
        if connecting and isinstance(error, errors.ServerUnavailable) and not error.reason:
            return status.connect_error(self._target, text)
        return error
