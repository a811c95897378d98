"""A server that traces into a receiver of the test's own, and what is said to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from tests.support.otlp import Receiver
from tests.support.wire import Request, running_server, stub

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = (("traceparent", f"00-{TRACE}-{CALLER}-01"),)


@asynccontextmanager
async def tracing(seen: Receiver, **settings: Any) -> AsyncIterator[Server]:
    """A server that traces; what it has to say is there when it is gone."""
    async with running_server({"telemetry": {"traces": seen.url, **settings}}) as server:
        yield server


async def talk(server: Server, *requests: Request, metadata: Any = PARENT) -> list[pb.SessionEvent]:
    """Send it all, and every event."""
    async with stub(server.address) as service:
        call: Any = service.StreamAffect(metadata=metadata)
        for request in requests:
            await call.write(request)
        await call.done_writing()
        return [response.event async for response in call]


async def until(happened: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for it; fails where it does not happen."""
    async with asyncio.timeout(within_s):
        while not happened():
            await asyncio.sleep(0.005)
