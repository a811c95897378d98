"""A real server and a bridge before it for each test; no session and no task outlives it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from affectstream.bridge.bridge import Bridge
from affectstream_server.lifecycle import Server
from tests.support.bridge import running_bridge
from tests.support.pki import Pki
from tests.support.wire import running_server


@dataclass(frozen=True, slots=True)
class Both:
    """What runs, in this process."""

    server: Server
    bridge: Bridge

    async def one_stream(self) -> None:
        """Wait until the server has one."""
        async with asyncio.timeout(30):
            while self.server.pipeline.streams != 1:
                await asyncio.sleep(0.01)

    async def no_stream(self) -> None:
        """Wait until the server has none; fails if one stays."""
        async with asyncio.timeout(30):
            while self.server.pipeline.streams:
                await asyncio.sleep(0.01)


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    """A server with default settings and a bridge before it."""
    async with running_server() as server, running_bridge(server.address) as bridge:
        yield Both(server, bridge)


@pytest.fixture
def address(both: Both) -> str:
    """HOST:PORT of the bridge."""
    return both.bridge.address


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A server's certificate and CAs, in a folder of the test."""
    return Pki(tmp_path)


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    ours = [task for task in tasks if "affectstream" in repr(task.get_coro())]
    assert not ours, f"tasks outlived their test: {ours}"


@pytest.fixture
def both_in_a_thread() -> Iterator[str]:
    """HOST:PORT of a bridge before a server that run in another thread's loop."""
    address: queue.Queue[str] = queue.Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running_server() as server, running_bridge(server.address) as bridge:
            address.put(bridge.address)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    yield address.get(timeout=20)
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()
