"""The server behind the bridge: calls to it, and why they ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import grpc

from affectstream import errors, status
from affectstream.channel import open_channel
from affectstream.connection import Connection
from affectstream.tls import Tls
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from affectstream.writing import Call

Trace = Sequence[tuple[str, str]]
"""`traceparent` and `tracestate` of a caller; empty: it has none."""

INFO_S: Final = 5.0
STATUS_S: Final = 1.0
_LOG_EVERY_S: Final = 10.0

_log = logging.getLogger(__name__)


class Upstream:
    """One server, one connection, a call for each WebSocket, each with its caller's own token."""

    def __init__(self, target: str, tls: Tls | None) -> None:
        """Raises `ValueError` for certificates that cannot be used."""
        credentials = tls.credentials() if tls else None
        options = tls.options if tls else ()
        self._connection = Connection(target, lambda: open_channel(target, credentials, options), _nothing)
        self._told_at = float("-inf")

    def open(self) -> None:
        """Must be called inside the event loop; connects with the first call."""
        self._connection.open()

    async def close(self) -> None:
        """End every call."""
        await self._connection.close()

    def stream(self, token: str, trace: Trace = ()) -> Stream:
        """A call of `StreamAffect`, begun."""
        return Stream(self, self._connection.channel, _metadata(token, trace))

    async def info(self, token: str) -> pb.GetServerInfoResponse:
        """What the server is. Raises an error of the tree."""
        channel = self._connection.channel
        try:
            found: pb.GetServerInfoResponse = await AffectServiceStub(channel).GetServerInfo(
                pb.GetServerInfoRequest(), timeout=INFO_S, metadata=_metadata(token)
            )
        except grpc.aio.AioRpcError as error:
            raise await self.error(
                channel, error.code(), error.details() or "", error.trailing_metadata()
            ) from None
        return found

    async def error(
        self, channel: grpc.aio.Channel, code: grpc.StatusCode, text: str, metadata: object
    ) -> errors.AffectStreamError:
        """A call's status as an error. A connection that is broken is replaced; where it led is not told."""
        error = status.to_error(code, text, metadata)
        if not isinstance(error, errors.ServerUnavailable) or error.reason:
            return error
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _LOG_EVERY_S:
            self._told_at = now
            cause = status.connect_cause(text) or "connection lost"
            _log.warning("no server at %s: %s", self._connection.target, cause)
        await self._connection.renew(channel, doubtful=False)
        return errors.ServerUnavailable(
            "the server behind this bridge cannot be reached", reason="SERVER_UNREACHABLE", retry_after_s=1.0
        )


class Stream:
    """One call of `StreamAffect`."""

    def __init__(self, upstream: Upstream, channel: grpc.aio.Channel, metadata: grpc.aio.Metadata) -> None:
        self._upstream = upstream
        self._channel = channel
        self.call: Final[Call] = AffectServiceStub(channel).StreamAffect(metadata=metadata)

    async def read(self) -> pb.SessionEvent | None:
        """The next event; None: the call ended well. Raises an error of the tree."""
        try:
            response = await self.call.read()
        except grpc.aio.AioRpcError:
            response = None
        if isinstance(response, pb.StreamAffectResponse):
            return response.event
        error = await self._why()
        if error is not None:
            raise error
        return None

    async def _why(self) -> errors.AffectStreamError | None:
        async with asyncio.timeout(STATUS_S):
            code, text = await self.call.code(), await self.call.details() or ""
            metadata = await self.call.trailing_metadata()
        if code == grpc.StatusCode.OK:
            return None
        return await self._upstream.error(self._channel, code, text, metadata)


def _metadata(token: str, trace: Trace = ()) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(*((("authorization", f"Bearer {token}"),) if token else ()), *trace)


async def _nothing() -> grpc.aio.Metadata:
    return grpc.aio.Metadata()
