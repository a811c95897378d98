"""Writing that leaves the server's last words alone.

When a write fails because the server has just ended the call, `grpc.aio`'s own `write` puts INTERNAL
in place of the server's status and hides the events that were not read yet (grpc/grpc#36066; with 1.85.1
in two of three calls that a server ended while audio was being sent). Here such a write only fails.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from affectstream.cancelling import cancellable
from affectstream.v1 import affect_pb2 as pb

Call = grpc.aio.StreamStreamCall[pb.StreamAffectRequest, pb.StreamAffectResponse]


class WriteFailed(Exception):
    """The call has ended or is ending; its status says why."""


async def write(call: Call, request: pb.StreamAffectRequest) -> None:
    """Hand one message to gRPC, waiting for the connection and for flow control.

    A cancellation inside ends the whole call, since the message may be half sent.

    Raises:
        WriteFailed: the call has ended or is ending.
    """
    if _sender(call) is not None:
        await send(call, request.SerializeToString())
        return
    try:  # a gRPC that is built otherwise: its own way then
        await call.write(request)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        raise WriteFailed from None


async def send(call: Any, data: bytes) -> None:
    """The same for a serialised message.

    Raises:
        WriteFailed: the call has ended or is ending.
    """
    sender = _sender(call) or call.write
    try:
        with cancellable():
            await call.wait_for_connection()
            if call.done():
                raise WriteFailed
            await sender(data)
    except asyncio.CancelledError:
        call.cancel()
        raise
    except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
        raise WriteFailed from None


def _sender(call: Any) -> Any:
    return getattr(getattr(call, "_cython_call", None), "send_serialized_message", None)


async def close(call: Call) -> None:
    """Say that no more messages come.

    Raises:
        WriteFailed: the call has ended or is ending.
    """
    try:
        await call.done_writing()
    except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
        raise WriteFailed from None
