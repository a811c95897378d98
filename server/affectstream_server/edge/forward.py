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
from affectstream_server.errors import InternalFault, ServiceError
from affectstream_server.flag import Flag
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
_AWAY: Final = "the process that has the session does not answer"
"""In place of gRPC's own words, which have its address in them."""

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

    async def pass_on(
        self, address: str, caller: Identity, first: pb.StreamAffectRequest, rest: Requests, context: Context
    ) -> None:
        """Converse for the caller until either side ends; the end is the other process's."""
        told_elsewhere()
        self._open += 1
        self._idle.clear()
        try:
            await self._forget_gone()
            await self._converse(address, caller, first, rest, context)
        except grpc.aio.AbortError:
            raise  # the caller was answered
        except grpc.aio.BaseError as error:
            _log.info("a call was gone while it was passed on: %s", type(error).__name__)
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("a stream that was passed on failed")
            await abort(context, InternalFault())
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def _forget_gone(self) -> None:
        """Close the ways to processes that do not live any more."""
        for address in self._channels.keys() - self._siblings.addresses.values():
            await self._channels.pop(address).close()

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
        over = Flag()
        sending = asyncio.get_running_loop().create_task(_send(call, first, rest, over))
        try:
            await context.send_initial_metadata(())
            while (data := await call.read()) is not grpc.aio.EOF:
                await context.write(data)
        except grpc.aio.AioRpcError:
            pass  # its status is told below
        except asyncio.CancelledError:
            if _is_cancelled():
                raise  # the caller is gone; or else the call was cancelled here, and gRPC says so in this way
        finally:
            over.set()
            call.cancel()  # nothing, where it is over
        if sending.done() and not sending.cancelled() and (bad := sending.result()) is not None:
            await abort(context, bad)
        if await call.code() != grpc.StatusCode.OK:
            await _tell(call, context)


async def _send(call: Any, first: pb.StreamAffectRequest, rest: Requests, over: Flag) -> ServiceError | None:
    """Pass messages on until they end, or ``over`` is so. Returns an error that came in place of one.

    Nobody cancels it: as in `AffectService`, that would lose what gRPC holds while it receives. When the
    caller's call is over, its last read ends by itself.
    """
    try:
        async with asyncio.timeout(_CONNECT_S):
            await write(call, first)
        async for request in rest:
            if over.is_set():
                return None
            if isinstance(request, ServiceError):
                call.cancel()
                return request
            await write(call, request)
        await close(call)
    except TimeoutError:
        call.cancel()
    except (WriteFailed, grpc.aio.BaseError):
        pass  # either call is over, which who reads hears, too
    return None


async def _tell(call: Any, context: Context) -> None:
    """End the caller's call as the other process has ended its own, or say that it is gone."""
    ours = tuple(pair for pair in await call.trailing_metadata() if pair[0] == DETAILS_KEY)
    if not ours:
        await context.abort(grpc.StatusCode.UNAVAILABLE, _AWAY)
    context.set_trailing_metadata(ours)
    await context.abort(await call.code(), await call.details() or "")


def _is_cancelled() -> bool:
    """Somebody has cancelled the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
