"""A real bridge before a real server, and WebSockets to it as any client opens them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from google.protobuf import json_format

from affectstream.bridge.admission import PROTOCOL
from affectstream.bridge.bridge import Bridge
from affectstream.bridge.settings import BridgeSettings
from affectstream.v1 import affect_pb2 as pb

CONFIG: dict[str, Any] = {"audio": {"encoding": "AUDIO_ENCODING_LINEAR16", "sampleRateHz": 16_000}}
END: dict[str, Any] = {"control": {"endOfAudio": {}}}


@asynccontextmanager
async def running_bridge(server: str, **settings: Any) -> AsyncIterator[Bridge]:
    """A bridge in this process on a free port of 127.0.0.1."""
    given: dict[str, Any] = {"server": server, "listen": "127.0.0.1:0", "drain_s": 0.2} | settings
    bridge = Bridge(BridgeSettings(**given))
    await bridge.start()
    try:
        yield bridge
    finally:
        await bridge.stop()


class Socket:
    """An open WebSocket and every message that came on it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []

    @property
    def events(self) -> list[pb.SessionEvent]:
        """As gRPC would have brought them."""
        return [
            json_format.ParseDict(message["event"], pb.SessionEvent())
            for message in self.messages
            if "event" in message
        ]

    @property
    def error(self) -> dict[str, Any]:
        """How the stream ended; empty: well."""
        last = self.messages[-1] if self.messages else {}
        found: dict[str, Any] = last.get("error", {})
        return found

    async def send(self, *messages: dict[str, Any] | bytes | str) -> None:
        """Objects as JSON, text and bytes as they are."""
        for message in messages:
            if isinstance(message, bytes):
                await self.socket.send_bytes(message)
            else:
                await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def until(self, seen: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Read until a message of which ``seen`` says so; fails when the WebSocket closes before."""
        async with asyncio.timeout(30):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                self.messages.append(json.loads(message.data))
                if seen(self.messages[-1]):
                    return self.messages[-1]
        raise AssertionError(f"closed with {self.socket.close_code}: {self.messages[-1:]}")

    async def event(self, name: str) -> dict[str, Any]:
        """Read until an event of this name, in lowerCamelCase."""
        message = await self.until(lambda message: name in message.get("event", {}))
        found: dict[str, Any] = message["event"][name]
        return found

    async def to_the_end(self) -> int | None:
        """Read everything. Returns the close code."""
        async with asyncio.timeout(30):
            while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                self.messages.append(json.loads(message.data))
        return self.socket.close_code


@asynccontextmanager
async def connected(
    address: str, path: str = "/v1/stream", *, protocols: Iterable[str] = (PROTOCOL,), **options: Any
) -> AsyncIterator[Socket]:
    """A WebSocket on a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{address}{path}", protocols=tuple(protocols), **options) as socket,
    ):
        yield Socket(socket)


async def ended(address: str, *messages: dict[str, Any] | bytes | str, **options: Any) -> tuple[Any, Any]:
    """Send these. Returns the error that came back, and the close code."""
    async with connected(address, **options) as socket:
        await socket.send(*messages)
        code = await socket.to_the_end()
        return socket.error, code
