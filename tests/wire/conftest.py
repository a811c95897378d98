"""A real server on a real socket for each test, and a check that nothing outlives it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.pki import Pki
from tests.support.wire import running_server


@pytest.fixture
async def server_address() -> AsyncIterator[str]:
    """HOST:PORT of a server of its own, with default settings; every session must be gone at the end."""
    async with running_server() as server:
        yield server.address
        async with asyncio.timeout(30):  # or a session outlived its call
            while server.pipeline.streams:
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    # grpc.aio keeps one poller task a loop; it is not ours.
    ours = [task for task in tasks if "affectstream" in repr(task.get_coro())]
    assert not ours, f"tasks outlived their test: {ours}"
    for thread in threading.enumerate():
        if thread.name.startswith("score"):
            thread.join(timeout=30)
            assert not thread.is_alive(), "a scoring thread outlived its test"


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A server's certificate and CAs, in a folder of the test."""
    return Pki(tmp_path)
