"""Calls of one caller, and all that was said in them: shared by the tests of what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream.v1 import affect_pb2_grpc
from affectstream.writing import WriteFailed, write
from tests.support.wire import Request


@dataclass
class Visits:
    """Calls of one caller, what was sent with them, and what came back."""

    address: str
    metadata: tuple[tuple[str, str], ...]
    sent: list[bytes] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    """Statuses: their texts and all their metadata."""
    codes: list[grpc.StatusCode] = field(default_factory=list)
    events: list[pb.SessionEvent] = field(default_factory=list)

    @asynccontextmanager
    async def call(self, method: str = "StreamAffect", *arguments: Any) -> AsyncIterator[Any]:
        """A call on a connection of its own; its status is kept."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            service: Any = affect_pb2_grpc.AffectServiceStub(channel)
            call = getattr(service, method)(*arguments, metadata=self.metadata)
            self.sent += [value.encode() for _, value in self.metadata]
            self.sent += [argument.SerializeToString() for argument in arguments]
            yield call
            self.codes.append(await call.code())
            self.told.append((await call.details() or "").encode())
            for key, value in (*await call.initial_metadata(), *await call.trailing_metadata()):
                self.told.append(key.encode() + b"=" + (value.encode() if isinstance(value, str) else value))

    async def send(self, call: Any, requests: Iterable[Request]) -> None:
        for request in requests:
            self.sent.append(request.SerializeToString())
            await write(call, request)

    async def converse(self, *requests: Request) -> list[pb.SessionEvent]:
        """Send everything and read to the end, however it ends."""
        async with self.call() as call:

            async def send() -> None:
                try:
                    await self.send(call, requests)
                    await call.done_writing()
                except (WriteFailed, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return  # it was refused meanwhile

            sending = asyncio.create_task(send())
            events = await until_closed(call)
            await sending
        self.events += events
        return events


async def until_closed(call: Any) -> list[pb.SessionEvent]:
    """Every event up to the end, however it ends."""
    events: list[pb.SessionEvent] = []
    try:
        while isinstance(response := await call.read(), pb.StreamAffectResponse):
            events.append(response.event)
    except grpc.aio.AioRpcError:
        pass
    return events
