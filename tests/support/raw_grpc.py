"""A gRPC caller made of HTTP/2 by hand: it sends what a proper client cannot, and leaves unread what comes.

async with RawGrpc(server.address) as raw:
    stream = await raw.call("StreamAffect")
    await raw.message(stream, request.SerializeToString())
    await raw.reset(stream)
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

_SERVICE: Final = "/affectstream.v1.AffectService/"
Headers = list[tuple[bytes, bytes]]


class RawGrpc:
    """One connection. ``reads``: it gives windows back for what comes; else ``window`` bytes may come.

    With ``ca_file`` it is by TLS.
    """

    def __init__(self, address: str, *, reads: bool = True, window: int = 65_535, ca_file: str = "") -> None:
        self._tls: ssl.SSLContext | None = None
        if ca_file:
            self._tls = ssl.create_default_context(cafile=ca_file)
            self._tls.set_alpn_protocols(["h2"])
        self.address = address
        self.answers: dict[int, dict[str, str]] = defaultdict(dict)
        """Headers and trailers by stream."""
        self.data: dict[int, bytes] = defaultdict(bytes)
        self.resets: dict[int, int] = {}
        self.farewell: bytes | None = None
        """What GOAWAY said."""
        self.under_way = 0
        """Bytes that were sent of the message that is being sent."""
        self.closed = asyncio.Event()
        self._reads = reads
        self._window = window
        self._moved = asyncio.Event()
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.http = h2.connection.H2Connection(config)

    async def __aenter__(self) -> Self:
        host, _, port = self.address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(
            host, int(port), ssl=self._tls, server_hostname="localhost" if self._tls else None
        )
        self.http.initiate_connection()
        self.http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self._window})
        self._flush()
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])
        self._writer.close()

    async def call(self, name: str, /, *more: tuple[str, str], **instead: str | bytes) -> int:
        """Open a call; ``instead`` are headers in the place of the right ones, by name with _ for -."""
        right: dict[str, str | bytes] = {
            "method": "POST",
            "scheme": "http",
            "path": _SERVICE + name,
            "authority": self.address,
            "te": "trailers",
            "content_type": "application/grpc",
            **instead,
        }
        pseudo = ("method", "scheme", "path", "authority")
        named = [
            (f":{key}" if key in pseudo else key.replace("_", "-"), value) for key, value in right.items()
        ]
        headers: Headers = [(key.encode(), _bytes(value)) for key, value in (*named, *more)]
        stream: int = self.http.get_next_available_stream_id()
        self.http.send_headers(stream, headers)
        self._flush()
        await self._writer.drain()
        return stream

    async def message(
        self, stream: int, payload: bytes, *, flag: int = 0, length: int | None = None, end: bool = False
    ) -> None:
        """Send a message; ``flag`` and ``length`` are what its prefix says, true or not."""
        size = len(payload) if length is None else length
        data = bytes([flag]) + size.to_bytes(4, "big") + payload
        while data:
            async with asyncio.timeout(30):
                while not (room := min(self.http.local_flow_control_window(stream), 16_384)):
                    self._moved.clear()
                    await self._moved.wait()
            part, data = data[:room], data[room:]
            self.http.send_data(stream, part, end_stream=end and not data)
            self._flush()
            self.under_way += len(part)
            await self._writer.drain()
        self.under_way = 0

    async def end(self, stream: int) -> None:
        """Half-close."""
        self.http.end_stream(stream)
        self._flush()
        await self._writer.drain()

    async def reset(self, stream: int) -> None:
        """RST_STREAM, CANCEL."""
        self.http.reset_stream(stream, error_code=8)
        self._flush()
        await self._writer.drain()

    async def bytes(self, data: bytes) -> None:
        """Send what may be no HTTP/2 at all."""
        self._writer.write(data)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def answered(self, stream: int) -> str:
        """Wait until the call is over: its status, or how else it ended."""
        async with asyncio.timeout(10):
            while not self.closed.is_set():
                if "grpc-status" in self.answers[stream]:
                    return f"status {self.answers[stream]['grpc-status']}"
                if stream in self.resets:
                    return f"reset {self.resets[stream]}"
                self._moved.clear()
                await self._moved.wait()
        return "closed"

    def _flush(self) -> None:
        with suppress(ConnectionError):
            self._writer.write(self.http.data_to_send())

    async def _listen(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                try:
                    events = self.http.receive_data(data)
                except h2.exceptions.ProtocolError:
                    continue  # of a stream that it has given up
                for event in events:
                    self._take(event)
                self._flush()
                self._moved.set()
        except ConnectionError:
            pass
        finally:
            self.closed.set()
            self._moved.set()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                headers = dict(event.headers or ())
                self.answers[event.stream_id or 0] |= {str(k): str(v) for k, v in headers.items()}
            case h2.events.DataReceived():
                stream = event.stream_id or 0
                self.data[stream] += event.data or b""
                if self._reads and event.flow_controlled_length:
                    self.http.acknowledge_received_data(event.flow_controlled_length, stream)
            case h2.events.StreamReset():
                self.resets[event.stream_id or 0] = int(event.error_code or 0)
            case h2.events.ConnectionTerminated():
                self.farewell = event.additional_data or b""


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
