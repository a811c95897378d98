"""One call: its configuration and audio out, its events in, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import grpc

from affectstream import affinity, errors, status, tracing, writing
from affectstream.cancelling import cancellable
from affectstream.config import StreamConfig
from affectstream.connection import Connection
from affectstream.decode import decode
from affectstream.events import Event, SessionStarted
from affectstream.inbox import Inbox
from affectstream.outbox import Outbox
from affectstream.states import Connected, Ended, State
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from affectstream.writing import Call

STATUS_S: Final = 1.0


class Link:
    """One call of `StreamAffect`. Used once.

    Args:
        connection: Where it goes.
        request: The first message.
        config: What it was made of.
        timeouts: Limits of `open`.
        cookies: Shown to a proxy, as `affinity.kept` gave them.
    """

    def __init__(
        self,
        connection: Connection,
        request: pb.SessionConfig,
        config: StreamConfig,
        timeouts: Timeouts,
        cookies: str = "",
    ) -> None:
        self._connection = connection
        self._target = connection.target
        self._request = request
        self._config = config
        self._timeouts = timeouts
        self.channel = connection.channel
        """Where it goes."""
        self.cookies = cookies
        """To be shown by the call that goes on with this one's session."""
        self._call: Call | None = None
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._started: SessionStarted | None = None
        self._ending = False

    lost_samples = 0

    @property
    def inbox(self) -> Inbox:
        """What comes back. Raises `RuntimeError` before `open`."""
        if self._inbox is None:
            raise not_open()
        return self._inbox

    @property
    def outbox(self) -> Outbox:
        """What is to be sent. Raises `RuntimeError` before `open`."""
        if self._outbox is None:
            raise not_open()
        return self._outbox

    @property
    def position(self) -> int:
        """After the newest audio, in samples."""
        return self.outbox.position

    @property
    def started(self) -> SessionStarted:
        """The first event. Raises `RuntimeError` before `open`."""
        if self._started is None:
            raise not_open()
        return self._started

    @property
    def state(self) -> State:
        """See `Line.state`."""
        session_id = self.started.session_id
        if self.inbox.ended:
            return Ended(session_id=session_id, cause=self.inbox.error)
        return Connected(session_id=session_id)

    async def open(self, heard: Callable[[Event], None]) -> SessionStarted:
        """Connect, configure, wait for `SessionStarted`. `heard` is told of each later event first.

        Raises:
            ConnectError: nobody answers at the address within `Timeouts.connect_s`.
            TimedOut: no `SessionStarted` within `Timeouts.session_start_s`.
            InvalidRequest, Unimplemented, ResourceExhausted, ...: the server refused the call.
        """
        if self._call is not None:
            raise RuntimeError("a stream is used once: make another with `client.stream`")
        metadata = tracing.added(await self._connection.metadata(), self._config.traceparent)
        metadata = affinity.shown(metadata, self.cookies)
        self.channel = self._connection.channel  # which may be another by now
        call = self._call = AffectServiceStub(self.channel).StreamAffect(metadata=metadata)
        self._connection.carry(self.channel, call)
        try:
            started = self._started = await self._start(call)
        except BaseException:
            call.cancel()
            raise
        self._inbox = Inbox(call, self.why, heard)
        self._outbox = Outbox(call, self._config.audio, self._config.coalesce_ms)
        return started

    async def send(self, data: bytes, start: int | None) -> None:
        """Send some audio; see `AffectStream.send`."""
        if self.outbox.add_audio(data, start):
            await self._drain()

    async def control(self, control: pb.Control) -> None:
        """Send a control after the audio given so far."""
        self.outbox.add(pb.StreamAffectRequest(control=control))
        if control.HasField("audio_resumed") and control.HasField("position_samples"):
            self.outbox.jump(control.position_samples)
        await self._drain()

    async def end(self) -> None:
        """Say that all audio was sent, and wait until gRPC has taken it."""
        if not self._ending:
            self._ending = True
            self.outbox.add(pb.StreamAffectRequest(control=pb.Control(end_of_audio=pb.EndOfAudio())))
            self.outbox.add_close()
        await self._drain()

    @property
    def is_done(self) -> bool:
        """The call has ended, whether or not its events were read."""
        return self._call is not None and self._call.done()

    def cancel(self) -> None:
        """End the call, if it has not ended."""
        if self._call is not None:
            self._call.cancel()

    def on_end(self, tell: Callable[[], None]) -> None:
        """`tell` is called when the call has ended, whether or not somebody reads."""
        if self._call is None:
            raise not_open()
        self._call.add_done_callback(lambda _: tell())

    async def close(self) -> None:
        """Forget what was not sent or handed out. The call must have been cancelled or have ended."""
        if self._outbox is not None and self._inbox is not None:
            await self._outbox.close()
            await self._inbox.close()

    async def why(self, *, connecting: bool = False) -> errors.AffectStreamError:
        """Why the call ended, as an error of the tree."""
        closed = errors.StreamClosed("the server has closed the stream: its last events say why")
        call = self._call
        if call is None:
            raise not_open()
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

    async def _drain(self) -> None:
        try:
            await self.outbox.drain()
        except writing.WriteFailed:
            raise await self.why() from None

    async def _start(self, call: Call) -> SessionStarted:
        try:
            async with asyncio.timeout(finite(self._timeouts.connect_s)):
                await writing.write(call, pb.StreamAffectRequest(config=self._request))
        except TimeoutError:
            raise status.connect_error(self._target, "timed out") from None
        except writing.WriteFailed:
            raise await self.why(connecting=True) from None
        try:
            async with asyncio.timeout(finite(self._timeouts.session_start_s)):
                with cancellable():
                    first = await call.read()
        except TimeoutError:
            raise errors.TimedOut(
                f"{self._target} took the configuration and sent no event "
                f"within {self._timeouts.session_start_s:g} s"
            ) from None
        except grpc.aio.AioRpcError:
            raise await self.why(connecting=True) from None
        event: Event | None = decode(first.event) if isinstance(first, pb.StreamAffectResponse) else None
        if isinstance(event, SessionStarted):
            self.cookies = affinity.kept(await call.initial_metadata(), self.cookies)
            return event
        if first is grpc.aio.EOF and await call.code() != grpc.StatusCode.OK:
            raise await self.why(connecting=True)
        raise errors.ProtocolError(f"{self._target} did not begin with session_started")


def not_open() -> RuntimeError:
    """The error of a use before `async with`."""
    return RuntimeError("the stream is not open: use `async with`")
