"""Where the driver's calls are made: over gRPC, or over bare WebSockets for that floor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, Protocol

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from affectstream import writing

METHOD: Final = "/affectstream.v1.AffectService/StreamAffect"
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
_CHECK_S: Final = 30.0

Metadata = tuple[tuple[str, str], ...]


class Call(Protocol):
    """A call: requests one way, responses the other, both as bytes."""

    async def write(self, request: bytes, /) -> None: ...
    async def done_writing(self) -> None: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def code(self) -> grpc.StatusCode: ...
    async def details(self) -> str: ...
    async def trailing_metadata(self) -> object: ...
    def cancel(self) -> bool: ...


class Channel(Protocol):
    """Where calls are made."""

    async def ready(self) -> None:
        """Return when the server answers. The caller bounds the wait."""
        ...

    def open(self, metadata: Metadata = ()) -> Call:
        """A new call."""
        ...

    async def check(self) -> None:
        """Ask the server something small, which its event loop answers."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...


class GrpcChannel:
    """A connection to the service, or to its floor."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub: Any = health_pb2_grpc.HealthStub(self._channel)

    async def ready(self) -> None:
        await self._channel.channel_ready()

    def open(self, metadata: Metadata = ()) -> Any:
        return _GrpcCall(self._channel.stream_stream(METHOD)(metadata=metadata))

    async def check(self) -> None:
        await self._stub.Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_S)

    async def close(self) -> None:
        await self._channel.close()


class _GrpcCall:
    """A call that keeps the server's status where a write meets its end."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def write(self, request: bytes) -> None:
        try:
            await writing.send(self._call, request)
        except writing.WriteFailed as error:
            raise asyncio.InvalidStateError from error

    async def done_writing(self) -> None:
        try:
            await writing.close(self._call)
        except writing.WriteFailed as error:
            raise asyncio.InvalidStateError from error

    def __aiter__(self) -> AsyncIterator[bytes]:
        responses: AsyncIterator[bytes] = aiter(self._call)
        return responses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class SocketChannel:
    """A bare WebSocket server: each call is a connection of its own. It answers nothing."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def ready(self) -> None:
        await self.check()

    def open(self, metadata: Metadata = ()) -> Call:
        return _SocketCall(self._session, self._url, metadata)

    async def check(self) -> None:
        async with self._session.get(f"{self._url}/health") as answer:
            await answer.read()

    async def close(self) -> None:
        await self._session.close()


class _SocketCall:
    """One WebSocket, open from the first message on."""

    def __init__(self, session: aiohttp.ClientSession, url: str, metadata: Metadata) -> None:
        self._opening = asyncio.ensure_future(session.ws_connect(url, headers=dict(metadata)))
        self._written = asyncio.Event()

    async def write(self, request: bytes, /) -> None:
        try:
            await (await asyncio.shield(self._opening)).send_bytes(request)
        except (aiohttp.ClientError, ConnectionError) as error:
            self._written.set()
            raise asyncio.InvalidStateError(f"the WebSocket is over: {error}") from error

    async def done_writing(self) -> None:
        try:
            await (await asyncio.shield(self._opening)).close()
        finally:
            self._written.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for message in await asyncio.shield(self._opening):
            yield message.data

    async def code(self) -> grpc.StatusCode:
        await self._written.wait()
        closed = (await self._opening).close_code
        return grpc.StatusCode.OK if closed == aiohttp.WSCloseCode.OK else grpc.StatusCode.UNAVAILABLE

    async def details(self) -> str:
        return f"the WebSocket closed with {(await self._opening).close_code}"

    async def trailing_metadata(self) -> object:
        return ()

    def cancel(self) -> bool:
        return self._opening.cancel()


def connect(kind: str, address: str) -> Channel:
    """A channel to a server of that kind."""
    return SocketChannel(address) if kind == "websocket" else GrpcChannel(address)
