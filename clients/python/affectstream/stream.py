"""One conversation: audio in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self

import grpc

from affectstream import errors, status, writing
from affectstream.config import StreamConfig
from affectstream.decode import decode
from affectstream.events import Event, SessionStarted
from affectstream.pcm import chunks, to_bytes
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from affectstream.writing import Call

if TYPE_CHECKING:
    from affectstream.pcm import Pcm


STATUS_S: Final = 1.0


class AffectStream:
    """One stream, as an asynchronous context manager and iterator. Made by `AffectClient.stream`.

    Entering it connects, sends the configuration and waits for `SessionStarted`. Inside it one task
    sends and another iterates; both may be the same task only if it never sends faster than it reads.
    Iteration ends when the server closed the stream after `end`. Leaving the context before that,
    by an exception or by `break`, is an abandoned call: it is cancelled and the utterance
    that is open gets no final event.

    gRPC ends the whole call when a task is cancelled inside `send`, `end` or an iteration step.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        target: str,
        config: StreamConfig,
        timeouts: Timeouts,
        metadata: tuple[tuple[str, str | bytes], ...],
    ) -> None:
        self._channel = channel
        self._target = target
        self._config = config
        self._timeouts = timeouts
        self._metadata = metadata
        self._call: Call | None = None
        self._started: SessionStarted | None = None
        self._first_pending = True
        self._write_lock = asyncio.Lock()
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

    async def __aenter__(self) -> Self:
        """Connect, configure, wait for `SessionStarted`.

        Raises:
            ConnectError: nobody answers at the address within `Timeouts.connect_s`.
            TimedOut: no `SessionStarted` within `Timeouts.session_start_s`.
            InvalidRequest, Unimplemented, ResourceExhausted, ...: the server refused the stream.
        """
        if self._call is not None:
            raise RuntimeError("a stream is used once: make another with `client.stream`")
        self._call = AffectServiceStub(self._channel).StreamAffect(
            metadata=grpc.aio.Metadata(*self._metadata)
        )
        try:
            self._started = await self._open(self._call)
        except BaseException:
            self._call.cancel()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._call is not None and not self._finished:
            self._finished = True
            self._call.cancel()

    async def send(self, pcm: Pcm) -> None:
        """Send some audio. Returns when gRPC has taken it: at once while the server keeps up.

        Longer audio than 1 s or 64 KiB goes out as several messages. Concurrent calls are sent one
        after another, each whole.

        Args:
            pcm: Whole frames in the declared encoding, or an array of shape (frames,) or
                (frames, channels): int16 for LINEAR16, float32 or float64 in -1..1 for FLOAT32.

        Raises:
            InvalidRequest: not whole frames, or an array of another type or shape. Nothing was sent.
            StreamClosed: the stream has ended, by `end` or by the server without an error.
            AffectStreamError: the server ended the call with an error.
        """
        self._check_open()
        data = to_bytes(pcm, self._config.audio)
        async with self._write_lock:
            for chunk in chunks(data, self._config.audio):
                await self._write(pb.StreamAffectRequest(audio=pb.AudioChunk(data=chunk)))

    async def end(self) -> None:
        """Say that all audio was sent, so that the open utterance ends and every final comes.

        Iteration goes on until the server has sent the last event. A second call does nothing.

        Raises:
            AffectStreamError: as from `send`.
        """
        async with self._write_lock:
            if self._ended:
                return
            await self._write(pb.StreamAffectRequest(control=pb.Control(end_of_audio=pb.EndOfAudio())))
            self._ended = True
            try:
                await writing.close(self._open_call)
            except writing.WriteFailed:
                raise await self._failure(self._open_call) from None
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
        if self._first_pending:
            self._first_pending = False
            return self.started
        while not self._finished:
            message = await self._read()
            event = None if message is None else decode(message.event)
            if event is not None:
                return event
        raise StopAsyncIteration

    @property
    def _open_call(self) -> Call:
        if self._call is None:
            raise RuntimeError("the stream is not open: use `async with`")
        return self._call

    def _check_open(self) -> Call:
        call = self._open_call
        if self._ended or self._finished:
            raise errors.StreamClosed("the stream has ended: no more audio can be sent")
        return call

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

    async def _write(self, request: pb.StreamAffectRequest) -> None:
        call = self._check_open()
        try:
            await writing.write(call, request)
        except asyncio.CancelledError:
            _raise_cancelled()
        except writing.WriteFailed:
            raise await self._failure(call) from None

    async def _read(self) -> pb.StreamAffectResponse | None:
        """The next message; None, and `_finished` set, at the end of a call that went well."""
        call = self._open_call
        try:
            async with asyncio.timeout_at(self._idle_deadline() if self._ended else None) as self._reading:
                message = await call.read()
        except asyncio.CancelledError:
            self._finished = True
            _raise_cancelled()
        except TimeoutError:
            self._finished = True
            raise errors.TimedOut(
                f"{self._target} sent nothing for {self._timeouts.idle_s:g} s after the end of audio"
            ) from None
        except grpc.aio.AioRpcError:
            self._finished = True
            raise await self._failure(call) from None
        finally:
            self._reading = None
        if isinstance(message, pb.StreamAffectResponse):
            return message
        self._finished = True
        if await call.code() != grpc.StatusCode.OK:
            raise await self._failure(call)
        return None

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


def _raise_cancelled() -> NoReturn:
    """Pass a cancellation of this task on; say `Cancelled` where only the call was cancelled.

    gRPC raises CancelledError in every task that waits on a call that another task's cancellation
    ended, which would make a healthy task look cancelled.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise asyncio.CancelledError
    raise errors.Cancelled("the call was cancelled by another task, or its client was closed") from None
