"""What happens once is told to all who wait for it, whenever they began to."""

from __future__ import annotations

import asyncio

import pytest

from affectstream_server.once import Once


async def test_all_who_wait_are_told_and_who_comes_later_does_not_wait() -> None:
    once = Once()
    waiting = [asyncio.create_task(once.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting[1:]), "one that is cancelled takes nobody along"
    once.set()
    once.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*waiting[1:])
        await once.wait()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
