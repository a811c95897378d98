"""Watchers as any client of the contract is one, with the stubs alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from affectstream.v1 import affect_pb2 as pb
from tests.support.wire import stub

EARLIEST = pb.WATCH_START_EARLIEST


def of_session(session_id: str, **position: Any) -> pb.WatchAffectRequest:
    """The request for a session's events."""
    return pb.WatchAffectRequest(session_id=session_id, **position)


def of_tenant(**position: Any) -> pb.WatchAffectRequest:
    """The request for the events of the caller's tenant."""
    return pb.WatchAffectRequest(tenant=pb.TenantSelector(), **position)


class Watch:
    """One watch, and every event that came on it."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.events: list[pb.SessionEvent] = []

    async def until(self, seen: Callable[[list[pb.SessionEvent]], object], timeout_s: float = 30) -> None:
        """Read until ``seen`` says so; fails when the watch ends before."""
        async with asyncio.timeout(timeout_s):
            while not seen(self.events):
                response = await self.call.read()
                assert isinstance(response, pb.WatchAffectResponse), await self.call.details()
                self.events.append(response.event)

    async def to_the_end(self, timeout_s: float = 30) -> grpc.StatusCode:
        """Read every event. Returns the status."""
        async with asyncio.timeout(timeout_s):
            try:
                while isinstance(response := await self.call.read(), pb.WatchAffectResponse):
                    self.events.append(response.event)
            except grpc.aio.AioRpcError:
                pass
            return await self.call.code()  # type: ignore[no-any-return] # the stub is untyped

    async def error(self) -> grpc.aio.AioRpcError:
        """What ends the watch; fails where it ends well."""
        code = await self.to_the_end()
        assert code is not grpc.StatusCode.OK
        return grpc.aio.AioRpcError(
            code,
            await self.call.initial_metadata(),
            await self.call.trailing_metadata(),
            await self.call.details(),
        )


@asynccontextmanager
async def watching(address: str, request: pb.WatchAffectRequest, **call: Any) -> AsyncIterator[Watch]:
    """A watch on a connection of its own that the server has admitted or refused; cancelled at the end."""
    async with stub(address) as service:
        watch = Watch(service.WatchAffect(request, **call))
        await watch.call.initial_metadata()
        yield watch
        watch.call.cancel()


async def watched(address: str, request: pb.WatchAffectRequest, **call: Any) -> list[pb.SessionEvent]:
    """Every event of a watch that ends well."""
    async with watching(address, request, **call) as watch:
        assert await watch.to_the_end() is grpc.StatusCode.OK, await watch.call.details()
        return watch.events


async def refused(address: str, request: pb.WatchAffectRequest, **call: Any) -> grpc.aio.AioRpcError:
    """The error that ends a watch."""
    async with watching(address, request, **call) as watch:
        return await watch.error()


def without_token(events: Sequence[pb.SessionEvent]) -> list[pb.SessionEvent]:
    """A stream's events as watchers get them."""
    told = []
    for event in events:
        copy = pb.SessionEvent()
        copy.CopyFrom(event)
        if copy.HasField("session_started"):
            copy.session_started.ClearField("resume_token")
        told.append(copy)
    return told
