"""What the tests of the shared bus ask, wait for and kill."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from affectstream.v1 import affect_pb2 as pb
from tests.support.redis import RedisServer
from tests.support.watching import EARLIEST, of_session, watching
from tests.support.wire import of_kind

Killable = tuple[asyncio.subprocess.Process, str]
Shared = Callable[..., dict[str, dict[str, Any]]]


def speech_is_open(events: list[pb.SessionEvent]) -> bool:
    return len(of_kind(events, "speech_started")) > len(of_kind(events, "speech_ended"))


def is_abandoned(event: pb.SessionEvent) -> bool:
    return event.session_closed.reason == pb.CLOSE_REASON_ABANDONED


async def retained(address: str, session_id: str, count: int) -> None:
    """Wait until the bus has them: a stream does not wait for it."""
    async with watching(address, of_session(session_id, start=EARLIEST)) as watch:
        await watch.until(lambda events: len(events) == count)


@asynccontextmanager
async def killable(redis: RedisServer) -> AsyncIterator[Killable]:
    """A server in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "affectstream_server", "--address", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "AFFECTSTREAM_BUS__URL": redis.url, "AFFECTSTREAM_BUS__OWNER_S": "1"},
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
