"""A stream whose session is in another process goes there and back, message by message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed, close, write
from affectstream_server.auth import Identity
from affectstream_server.edge.inner import Context, passed_on
from affectstream_server.edge.observing import told_elsewhere
from affectstream_server.edge.status import DETAILS_KEY, abort
from affectstream_server.errors import ServiceError
from affectstream_server.processes.siblings import Siblings

_log = logging.getLogger(__name__)

_METHOD: Final = "/affectstream.v1.AffectService/StreamAffect"
_CHANNEL: Final = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # As for callers: what is not read stays with who sends it.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_http_proxy", 0),
)
_CONNECT_S: Final = 5.0
"""To another process of this machine; one that is gone refuses at once."""

Requests = AsyncIterator[pb.StreamAffectRequest | ServiceError]


class Forwarder:
    """Knows the way to each other process that lives."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = 0

    async def drained(self, within_s: float) -> None:
        """Return when no stream is passed on any more; the other processes end them."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("drain: %d streams that were passed on did not end in time", self._open)

    async def close(self) -> None:
        """Close every way."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def forget_gone(self) -> None:
        """Close the ways to processes that do not live any more."""
        for address in self._channels.keys() - self._siblings.addresses.values():
            await self._channels.pop(address).close()

    async def pass_on(
        self, address: str, caller: Identity, first: pb.StreamAffectRequest, rest: Requests, context: Context
    ) -> None:
        """Converse for the caller until either side ends; the end is the other process's."""
        told_elsewhere()
        self._open += 1
        self._idle.clear()
        try:
            await self._converse(address, caller, first, rest, context)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def _converse(
        self, address: str, caller: Identity, first: pb.StreamAffectRequest, rest: Requests, context: Context
    ) -> None:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(address, options=_CHANNEL)
        method: Any = channel.stream_stream(_METHOD, pb.StreamAffectRequest.SerializeToString, None)
        given: Any = context.invocation_metadata() or ()
        metadata = passed_on(self._siblings.secret, caller, given)
        call: Any = method(metadata=metadata, timeout=context.time_remaining())
        sending = asyncio.get_running_loop().create_task(_send(call, first, rest))
        try:
            await context.send_initial_metadata(())
            while (data := await call.read()) is not grpc.aio.EOF:
                await context.write(data)
        except grpc.aio.AioRpcError:
            pass  # its status is told below
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            call.cancel()  # nothing, where it is over
        if not sending.cancelled() and isinstance(bad := sending.exception(), ServiceError):
            await abort(context, bad)
        code = await call.code()
        if code != grpc.StatusCode.OK:
            trailing = tuple(pair for pair in await call.trailing_metadata() if pair[0] == DETAILS_KEY)
            context.set_trailing_metadata(trailing)
            await context.abort(code, await call.details() or "")


async def _send(call: Any, first: pb.StreamAffectRequest, rest: Requests) -> None:
    """Raises a `ServiceError` that came in place of a message."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            await write(call, first)
        async for request in rest:
            if isinstance(request, ServiceError):
                call.cancel()
                raise request
            await write(call, request)
        await close(call)
    except TimeoutError:
        call.cancel()
    except WriteFailed:
        return
