"""A bridge's life: listen, relay, drain, gone."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from google.protobuf import json_format

from affectstream import errors
from affectstream.bridge import admission, faults
from affectstream.bridge.gate import SIGNATURE, Gate
from affectstream.bridge.page import Page
from affectstream.bridge.peer import Peer, PeerGone
from affectstream.bridge.relay import Relay, Speech
from affectstream.bridge.settings import BridgeSettings
from affectstream.bridge.speech import JsonSpeech
from affectstream.bridge.telephony import TelephonySpeech
from affectstream.bridge.upstream import Upstream

_log = logging.getLogger(__name__)

_HANDSHAKE_S: Final = 5.0
_END_S: Final = 5.0
_BACKLOG: Final = 128
_SEND_BYTES: Final = 64 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannotListen(Exception):
    """The address cannot be bound; the message says which and what may help."""


class Bridge:
    """One process's bridge. `start`, then `stop`; or `serve_until_signalled` for both."""

    def __init__(self, settings: BridgeSettings) -> None:
        """Raises `ValueError` for certificates that cannot be used."""
        self._settings = settings
        self._tls = _server_context(settings)
        self._upstream = Upstream(settings.server, settings.tls)
        self._relays: set[Relay] = set()
        self._draining = False
        self._listener: asyncio.Server | None = None
        self._gate: Gate | None = None
        app = web.Application(middlewares=[self._middleware])
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/v1/info", self._info)
        app.router.add_get("/v1/stream", self._stream)
        app.router.add_get("/v1/telephony", self._telephony)
        Page().add_routes(app)
        app.on_response_prepare.append(_sign)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_END_S)
        self.address = ""
        """HOST:PORT where it listens, with the port it got."""

    async def start(self) -> None:
        """Listen. The server behind need not be there. Raises `CannotListen`."""
        self._upstream.open()
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner has no server")
        self._gate = Gate(server, self._settings.max_connections, self._settings.request_s)
        host, _, port = self._settings.listen.rpartition(":")
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._gate,
                host.strip("[]"),
                int(port),
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_S if self._tls else None,
                backlog=_BACKLOG,
            )
        except OSError:
            await self._close()
            raise CannotListen(
                f"--listen: cannot listen on {self._settings.listen}; is the port taken? Port 0 is any"
            ) from None
        for listening in self._listener.sockets:
            # Connections inherit it. The system's own takes an hour of events before a reader is slow.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        self.address = f"{host}:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Take no more connections, tell every stream, give them `drain_s`, end."""
        self._draining = True
        if self._listener is not None:
            self._listener.close()
        if self._relays:
            _log.info("draining: %d streams have %g s", len(self._relays), self._settings.drain_s)
        await asyncio.gather(*(relay.drain(self._settings.drain_s) for relay in tuple(self._relays)))
        await self._close()

    async def serve_until_signalled(self, ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. Raises `CannotListen`."""
        loop = asyncio.get_running_loop()
        signals: asyncio.Queue[int] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, number)
        await self.start()
        ready(self.address)
        await signals.get()
        stopping, again = loop.create_task(self.stop()), loop.create_task(signals.get())
        await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if stopping.done():
            stopping.result()
        else:
            stopping.cancel()
        await asyncio.wait({stopping, again})

    async def _close(self) -> None:
        if self._gate is not None:
            self._gate.close()
        await self._upstream.close()
        await self._runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing but words of ours leaves, whatever goes wrong."""
        if self._gate is not None:
            self._gate.asked(request.protocol)
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return web.json_response({"error": {"message": answer.reason}}, status=answer.status)
        except errors.AffectStreamError as error:
            return web.json_response(faults.as_json(error), status=faults.http_status(error))
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("a request failed")
            return web.json_response(faults.as_json(faults.internal()), status=500)

    async def _health(self, _: web.Request) -> web.Response:
        status = "draining" if self._draining else "ok"
        return web.json_response({"status": status}, status=503 if self._draining else 200)

    async def _info(self, request: web.Request) -> web.Response:
        admission.check_origin(request, self._settings)
        found = await self._upstream.info(admission.token_of(request))
        return web.json_response(json_format.MessageToDict(found), headers={"Cache-Control": "no-store"})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        admission.check_protocol(request)
        return await self._serve(request, JsonSpeech(admission.token_of(request)), (admission.PROTOCOL,))

    async def _telephony(self, request: web.Request) -> web.StreamResponse:
        offered = admission.any_protocol(request)
        return await self._serve(request, TelephonySpeech(admission.token_of(request)), offered)

    async def _serve(
        self, request: web.Request, speech: Speech, protocols: tuple[str, ...]
    ) -> web.StreamResponse:
        if self._draining:
            raise faults.stopping()
        peer = Peer(request, self._settings, protocols)
        peer.check()
        try:
            admission.check_origin(request, self._settings)
        except errors.PermissionDenied as refused:
            # Told by message: of an answer in place of a WebSocket a script sees nothing.
            await peer.open()
            await peer.end(refused)
            return peer.response
        trace = admission.trace_of(request)
        relay = Relay(peer, speech, self._settings)
        self._relays.add(relay)
        error: errors.AffectStreamError | None = None
        try:
            await peer.open()
            await relay.run(lambda: self._upstream.stream(speech.token, trace))
        except PeerGone:
            peer.abort()
            return peer.response
        except errors.AffectStreamError as ended:
            error = ended
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("a stream failed")
            error = faults.internal()
        finally:
            self._relays.discard(relay)
        await peer.end(error)
        return peer.response


def _server_context(settings: BridgeSettings) -> ssl.SSLContext | None:
    if settings.cert_file is None or settings.key_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: b"")
    except OSError as error:
        cause = error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "not a pair in PEM"
        raise ValueError(f"--tls-cert, --tls-key: cannot be used: {cause}") from None
    return context


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    """Which library serves here is nobody's business."""
    response.headers["Server"] = SIGNATURE
    response.headers["X-Content-Type-Options"] = "nosniff"
