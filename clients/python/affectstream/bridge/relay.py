"""One WebSocket and one call: what comes on one goes to the other, until either ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from affectstream import errors, writing
from affectstream.bridge import faults
from affectstream.bridge.peer import Peer, PeerGone
from affectstream.bridge.settings import BridgeSettings
from affectstream.bridge.upstream import Stream
from affectstream.v1 import affect_pb2 as pb

T = TypeVar("T")

END = pb.StreamAffectRequest(control=pb.Control(end_of_audio=pb.EndOfAudio()))


class Speech(Protocol):
    """The words of one kind of WebSocket."""

    token: str
    """The caller's, known when there is something to send; empty: none."""

    def requests(self, message: str | bytes) -> list[pb.StreamAffectRequest]:
        """A message as the server takes it. Raises `InvalidRequest`."""
        ...

    def text(self, event: pb.SessionEvent) -> str:
        """An event as a text message; empty: it is not passed on."""
        ...


class Relay:
    """Used once. It holds one message of each direction: whoever is too fast waits.

    Args:
        peer: An open WebSocket.
        speech: How it speaks.
        settings: Its limits.
    """

    def __init__(self, peer: Peer, speech: Speech, settings: BridgeSettings) -> None:
        self._peer = peer
        self._speech = speech
        self._settings = settings
        self._stream: Stream | None = None
        self._session_id = ""
        self._resumable = False
        self._over = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self, begin: Callable[[], Stream]) -> None:
        """Pass on until the end.

        Args:
            begin: Makes the call, when there is something to send.

        Raises:
            PeerGone: there is nobody to tell; the call is cancelled.
            AffectStreamError: how it ended, if not well.
        """
        try:
            first = await self._unless_stopped(self._first())
            self._resumable = any(request.config.resumable for request in first)
            self._stream = begin()
            await self._unless_stopped(self._exchange(self._stream, first))
        finally:
            self._over.set()
            if self._stream is not None:
                self._stream.call.cancel()

    async def drain(self, grace_s: float) -> None:
        """Say that the stream will end, and end it when the time is over. Returns when it has ended."""
        closing = pb.SessionClosing(reason=pb.CLOSE_REASON_DRAIN)
        closing.grace.FromMilliseconds(round(grace_s * 1_000))
        text = self._speech.text(pb.SessionEvent(session_id=self._session_id, session_closing=closing))
        with suppress(PeerGone, errors.AffectStreamError, writing.WriteFailed):
            if text and self._stream is not None:
                await self._peer.send(text)
            if not await self._ends_within(grace_s) and self._stream is not None and not self._resumable:
                await writing.write(self._stream.call, END)
                await self._ends_within(self._settings.slow_reader_s)
        self._stop.set()
        await self._ends_within(self._settings.slow_reader_s)  # for ever, where it never began to run

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        loop = asyncio.get_running_loop()
        working, stopping = loop.create_task(work), loop.create_task(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise faults.stopping()
            return working.result()
        finally:
            await _end({working, stopping})

    async def _first(self) -> list[pb.StreamAffectRequest]:
        limit_s = self._settings.config_s
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    requests = self._speech.requests(await self._peer.receive())
                    if requests:
                        return requests
        except TimeoutError:
            raise faults.malformed(
                "request",
                f"nothing within {limit_s:g} s",
                "config as the first message",
                reason="CONFIG_MUST_BE_FIRST",
            ) from None

    async def _exchange(self, stream: Stream, first: list[pb.StreamAffectRequest]) -> None:
        loop = asyncio.get_running_loop()
        events = loop.create_task(self._events(stream))
        requests = loop.create_task(self._requests(stream, first))
        try:
            await asyncio.wait({events, requests}, return_when=asyncio.FIRST_COMPLETED)
            if requests.done():
                requests.result()  # it ends with an error, or because the call has ended
            await events
        finally:
            await _end({events, requests})

    async def _requests(self, stream: Stream, first: list[pb.StreamAffectRequest]) -> None:
        waiting = first
        try:
            while True:
                for request in waiting:
                    await writing.write(stream.call, request)
                waiting = self._speech.requests(await self._peer.receive())
        except writing.WriteFailed:
            return

    async def _events(self, stream: Stream) -> None:
        limit_s = self._settings.start_s
        try:
            async with asyncio.timeout(limit_s):
                event = await stream.read()
        except TimeoutError:
            raise errors.TimedOut(
                f"the server did not begin within {limit_s:g} s",
                reason="START_TIMED_OUT",
                limit=f"{limit_s:g} s",
            ) from None
        while event is not None:
            self._session_id = event.session_id
            text = self._speech.text(event)
            if text:
                await self._peer.send(text)
            if event.WhichOneof("event") == "session_closed":
                with suppress(writing.WriteFailed):
                    await writing.close(stream.call)
            event = await stream.read()


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel what still runs; the errors that count were raised before."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
