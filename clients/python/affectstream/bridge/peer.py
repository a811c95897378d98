"""The other side of a WebSocket: its messages, whether it is there, whether it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from aiohttp import WSMsgType, web

from affectstream import errors
from affectstream.bridge import faults
from affectstream.bridge.messages import text_of
from affectstream.bridge.settings import BridgeSettings

CLOSE_S: Final = 2.0
"""What the other side has to answer our closing."""

_LOST: Final = (ConnectionError, RuntimeError)


class PeerGone(Exception):
    """Nobody is there any more."""


class Peer:
    """One open WebSocket. One task may receive; any may send."""

    def __init__(self, request: web.Request, settings: BridgeSettings, protocols: tuple[str, ...]) -> None:
        self._request = request
        self._settings = settings
        self._socket = web.WebSocketResponse(
            timeout=CLOSE_S,
            autoping=False,
            protocols=protocols,
            compress=False,
            max_msg_size=settings.message_bytes,
        )
        self._sending: set[asyncio.Task[object]] = set()

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler returns."""
        return self._socket

    def check(self) -> None:
        """Raises `InvalidRequest` for a request that asks for no WebSocket."""
        if not self._socket.can_prepare(self._request):
            raise faults.malformed("Upgrade", "no WebSocket's request", "a WebSocket of version 13")

    async def open(self) -> None:
        """Answer the request for a WebSocket."""
        await self._socket.prepare(self._request)

    async def receive(self) -> str | bytes:
        """The next message. A peer that says nothing is asked whether it is there, but not while its last
        message is still being passed on: it may be waiting for us.

        Raises:
            PeerGone: it closed, was lost, broke WebSocket's rules, or does not answer.
        """
        wait_s, asked = self._settings.ping_after_s, False
        while True:
            try:
                message = await self._socket.receive(timeout=wait_s)
            except TimeoutError:
                if asked:
                    self.abort()
                    raise PeerGone from None
                await self._within(self._socket.ping())
                wait_s, asked = self._settings.pong_s, True
                continue
            wait_s, asked = self._settings.ping_after_s, False
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                data: str | bytes = message.data
                return data
            if message.type is WSMsgType.PING:
                await self._within(self._socket.pong(message.data))
            elif message.type is not WSMsgType.PONG:
                raise PeerGone

    async def send(self, text: str) -> None:
        """Send a text message.

        Raises:
            ResourceExhausted: what was sent before is not read.
            PeerGone: it is not there any more.
        """
        await self._within(self._socket.send_str(text))

    async def end(self, error: errors.AffectStreamError | None) -> None:
        """Say how the stream ended and close. Nothing may be receiving any more."""
        if not self._socket.closed:
            await asyncio.wait({self._begin(self._farewell(error))}, timeout=2 * CLOSE_S)
        transport = self._request.transport
        if transport is not None and (self._sending or transport.get_write_buffer_size()):
            transport.abort()
        if self._sending:
            await asyncio.wait(self._sending)

    def abort(self) -> None:
        """Drop the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _farewell(self, error: errors.AffectStreamError | None) -> None:
        if error is not None:
            await self._socket.send_str(text_of(faults.as_json(error)))
        reason = error.reason.encode()[:120] if error else b""
        await self._socket.close(code=faults.close_code(error), message=reason)

    async def _within(self, sending: Coroutine[Any, Any, object]) -> None:
        limit_s = self._settings.slow_reader_s
        task = self._begin(sending)
        done, _ = await asyncio.wait({task}, timeout=limit_s)
        if not done:
            raise errors.ResourceExhausted(
                f"events: not read for {limit_s:g} s",
                reason="SLOW_READER",
                field="events",
                value="unread",
                limit=f"{limit_s:g} s",
            )
        try:
            task.result()
        except _LOST:
            raise PeerGone from None

    def _begin(self, sending: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """A task that nobody cancels: senders share a future in aiohttp, which would end them all."""
        task = asyncio.get_running_loop().create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sent)
        return task

    def _sent(self, task: asyncio.Task[object]) -> None:
        self._sending.discard(task)
        if not task.cancelled():
            task.exception()
