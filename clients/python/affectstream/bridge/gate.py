"""How many connections may stand, and how long one may take to say what it wants."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n"
    b'{"error":{"status":"RESOURCE_EXHAUSTED","reason":"BRIDGE_FULL",'
    b'"message":"the bridge has as many connections as it takes","retryAfterS":5.0}}'
)


SIGNATURE: Final = "affectstream"
"""Which library serves here is nobody's business."""
KEEPALIVE_S: Final = 15.0
HEADER_BYTES: Final = 16 * 1024
"""The longest header, as long as the server takes metadata."""

_SILENT: Final = logging.Logger("silent")
"""aiohttp would log parts of requests that it cannot read, and a token may be there."""
_SILENT.disabled = True


class Gate:
    """Makes the protocol of each new connection."""

    def __init__(self, server: web.Server, most: int, request_s: float) -> None:
        self._server = server
        self._most = most
        self._request_s = request_s
        self._silent: dict[object, asyncio.TimerHandle] = {}

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._most:
            return _Full()
        loop = asyncio.get_running_loop()
        handler = _Handler(
            self._server,
            loop=loop,
            logger=_SILENT,
            access_log=_SILENT,
            keepalive_timeout=KEEPALIVE_S,
            max_field_size=HEADER_BYTES,
        )
        self._silent[handler] = loop.call_later(self._request_s, self._give_up, handler)
        return handler

    def asked(self, handler: object) -> None:
        """A whole request came on this connection."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Forget every timer."""
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()

    def _give_up(self, handler: web.RequestHandler) -> None:
        self._silent.pop(handler, None)
        if handler.transport is not None:
            handler.transport.abort()


class _Handler(web.RequestHandler):
    """Answers what is no HTTP without repeating it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's words
    ) -> web.StreamResponse:
        answer = super().handle_error(request, status, exc, "the request cannot be read")
        answer.headers["Server"] = SIGNATURE
        return answer


class _Full(asyncio.Protocol):
    """Says that there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_FULL)
            transport.close()
