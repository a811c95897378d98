"""What others' sessions say: events of one session, or of every session of the tenant."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

import grpc

from affectstream import errors, events, status
from affectstream.cancelling import cancellable
from affectstream.connection import Connection
from affectstream.decode import decode
from affectstream.enums import WatchStart
from affectstream.events import Event
from affectstream.reconnect import Backoff, Reconnect
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub

CURSOR_KEY: Final = "affectstream-cursor-bin"
"""Initial metadata of a watch: where it begins."""
_FALLEN_OUT: Final = "CURSOR_FALLEN_OUT"
_NOT_YET_S: Final = 0.1
"""Between looks for a session that is waited for."""
_MISSING_S: Final = 5.0
"""How long a session that was there may be missing: a bus that lost its memory gets it again."""
_STATUS_S: Final = 1.0
_SESSIONS: Final = 4_096
"""Whose last event is remembered."""
_COMES_BACK: Final = frozenset({"SLOW_READER", "INTERNAL_FAULT"})
_Heard = tuple[int, datetime | None]


class AffectWatch:
    """A watch, as an asynchronous context manager and iterator. Made by `AffectClient.watch`.

    Entering it connects; a refusal is raised here. When the call is lost, another takes its place after the
    last event: every event comes once and in order. Where events between have fallen out of the server's
    retention, a `Warning` with code EVENTS_LOST says so, and the watch goes on with the oldest that is there.
    Iteration ends when the session has ended; a tenant's watch goes on for ever.

    A task that is cancelled in an iteration step leaves the watch whole. Who iterates too slowly is cut off
    by the server, and comes back by itself.
    """

    def __init__(
        self,
        connection: Connection,
        session_id: str | None,
        timeouts: Timeouts,
        *,
        start: WatchStart,
        after: bytes | None,
        reconnect: Reconnect | None,
        wait_s: float,
    ) -> None:
        self._connection = connection
        self._session_id = session_id
        self._timeouts = timeouts
        self._start = start
        self._after = after
        self._told = after
        self._reconnect = reconnect
        self._backoff = Backoff(reconnect or Reconnect())
        self._wait_s = wait_s
        self._call: Any = None
        self._channel: grpc.aio.Channel | None = None
        self._reading: asyncio.Task[Event | None] | None = None
        self._waiting: deque[Event] = deque()
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        self._since: datetime | None = None
        self._doubt = False
        self._ended = False
        self.lost: errors.AffectStreamError | None = None
        """Why the call was lost, while another is tried; None: it stands."""

    @property
    def cursor(self) -> bytes | None:
        """Of the newest event that was handed out, or where the watch began: another goes on from there."""
        return self._told

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ConnectError: nobody answers at the address.
            NotFound: no such session, or nothing of it is retained, also after `wait_s`.
            FailedPrecondition: the session has ended, and only what comes from now on was asked for.
            InvalidRequest: a cursor that is none, or with reason CURSOR_FALLEN_OUT has fallen out of
                retention; `limit` is the earliest that will do, in base64.
            AffectStreamError: the server refused or failed.
        """
        if self._call is not None:
            raise RuntimeError("a watch is used once: make another with `client.watch`")
        until = asyncio.get_running_loop().time() + self._wait_s
        while True:
            try:
                await self._open()
            except errors.NotFound:
                if asyncio.get_running_loop().time() + _NOT_YET_S > until:
                    raise
                await asyncio.sleep(_NOT_YET_S)
            else:
                self._told = self._after
                self._since = None if self._start is WatchStart.EARLIEST else datetime.now(UTC)
                return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        if self._call is not None:
            self._call.cancel()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event that this version knows.

        The server's own words to this watcher are `Warning` events with sequence 0: BUS_AWAY, BUS_BACK.

        Raises:
            GaveUp: the call was lost, and no other stood within the limits of `Reconnect`.
            AffectStreamError: the server ended the watch, and trying again would not help.
        """
        if self._ended:
            raise StopAsyncIteration
        if self._call is None:
            raise RuntimeError("the watch is not open: use `async with`")
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._next())
        await asyncio.wait({self._reading})
        task, self._reading = self._reading, None
        try:
            event = task.result()
        except errors.AffectStreamError:
            self._ended = True
            raise
        if event is None:
            self._ended = True
            raise StopAsyncIteration
        self._told = event.cursor or self._told
        return event

    async def _next(self) -> Event | None:
        """None: the session has ended."""
        while True:
            if self._waiting:
                return self._waiting.popleft()
            try:
                with cancellable():
                    response = await self._call.read()
                if response is grpc.aio.EOF:
                    if await self._call.code() == grpc.StatusCode.OK:
                        return None
                    raise await self._failure()
                if not isinstance(response, pb.WatchAffectResponse):
                    self._call.cancel()
                    raise errors.ProtocolError("an event cannot be read")
            except grpc.aio.AioRpcError:
                await self._again(await self._failure())
            except errors.AffectStreamError as error:
                await self._again(error)
            else:
                self._backoff.went_well()
                event = self._news(response.event)
                if event is not None:
                    return event

    def _news(self, message: pb.SessionEvent) -> Event | None:
        """The event; None: it was handed out before, or this version does not know it."""
        if message.cursor:
            self._after = message.cursor
        event = decode(message)
        if event is None or not event.sequence or self._session_id is not None:
            return event
        heard = self._heard.get(event.session_id)
        if heard is None and self._doubt and _before(event.server_time, self._since):
            return None
        if heard is not None and event.sequence <= heard[0] and not _before(heard[1], event.server_time):
            return None
        self._heard[event.session_id] = event.sequence, event.server_time
        self._heard.move_to_end(event.session_id)
        if len(self._heard) > _SESSIONS:
            self._heard.popitem(last=False)
        return event

    async def _again(self, cause: errors.AffectStreamError) -> None:
        """Another call in place of one that was lost. Raises `GaveUp` or why there is none."""
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        while True:
            missing = isinstance(cause, errors.NotFound) and loop.time() - since_s < _MISSING_S
            hopeless = self._reconnect is None or not self._connection.is_open
            if hopeless or not (missing or _may_go_well(cause)):
                raise cause
            self.lost = cause
            delay_s = self._backoff.next_delay_s(loop.time(), cause)
            if delay_s is None:
                tried = f"{self._backoff.attempts} attempts in {loop.time() - since_s:.0f} s"
                raise errors.GaveUp(f"gave up after {tried}: {cause}", reason=cause.reason)
            await asyncio.sleep(delay_s)
            if self._channel is not None:
                await self._connection.renew(self._channel, doubtful=cause.reason == "DRAINING")
            try:
                await self._open()
            except errors.AffectStreamError as error:
                if error.reason == _FALLEN_OUT:
                    self._skip(error)
                cause = error
            else:
                self.lost = None
                return

    def _skip(self, error: errors.AffectStreamError) -> None:
        """What followed the cursor is not retained any more: say so, and go on with what is."""
        try:
            self._after = base64.b64decode(error.limit, validate=True)
        except binascii.Error:
            raise error from None
        self._doubt = True
        warning = pb.Warning(
            code="EVENTS_LOST",
            message="events between are not retained any more; the watch goes on with the oldest that is",
        )
        told = decode(pb.SessionEvent(session_id=self._session_id or "", warning=warning))
        if told is not None and not any(isinstance(event, events.Warning) for event in self._waiting):
            self._waiting.append(told)

    async def _open(self) -> None:
        metadata = await self._connection.metadata()
        channel = self._channel = self._connection.channel
        if self._call is not None:
            self._call.cancel()
        call = self._call = AffectServiceStub(channel).WatchAffect(self._request(), metadata=metadata)
        self._connection.carry(channel, call)
        try:
            await self._opened()
        except BaseException:
            call.cancel()
            raise

    async def _opened(self) -> None:
        """Wait until the watch has begun. Raises why it has not."""
        try:
            async with asyncio.timeout(finite(self._timeouts.connect_s + self._timeouts.session_start_s)):
                with cancellable():
                    initial = dict(await self._call.initial_metadata())
        except TimeoutError:
            raise status.connect_error(self._connection.target, "timed out") from None
        except grpc.aio.AioRpcError:
            raise await self._failure() from None
        begin = initial.get(CURSOR_KEY)
        if isinstance(begin, bytes):
            self._after = begin
            return
        try:
            async with asyncio.timeout(_STATUS_S):
                code = await self._call.code()
        except TimeoutError:
            return
        if code != grpc.StatusCode.OK:
            raise await self._failure()

    def _request(self) -> pb.WatchAffectRequest:
        request = pb.WatchAffectRequest()
        if self._session_id is None:
            request.tenant.SetInParent()
        else:
            request.session_id = self._session_id
        if self._after is not None:
            request.after = self._after
        else:
            request.start = pb.WatchStart.ValueType(self._start)
        return request

    async def _failure(self) -> errors.AffectStreamError:
        """Why the call ended."""
        code, text = await self._call.code(), await self._call.details() or ""
        error = status.to_error(code, text, await self._call.trailing_metadata())
        ready = grpc.ChannelConnectivity.READY
        connected = self._channel is not None and self._channel.get_state() is ready
        if not connected and not error.reason and isinstance(error, errors.ServerUnavailable):
            return status.connect_error(self._connection.target, text)
        return error


def _before(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and one < other


def _may_go_well(cause: errors.AffectStreamError) -> bool:
    if cause.reason in _COMES_BACK or cause.reason == _FALLEN_OUT or cause.retryable:
        return True
    return not cause.reason and isinstance(cause, errors.Cancelled | errors.ServerError)
