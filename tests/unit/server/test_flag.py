"""A flag is told to all who wait for it, whenever they began to."""

from __future__ import annotations

import asyncio

import pytest

from affectstream_server.flag import Flag


async def test_all_who_wait_are_told_and_who_comes_later_does_not_wait() -> None:
    flag = Flag()
    waiting = [asyncio.create_task(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting[1:]), "one that is cancelled takes nobody along"
    flag.set()
    flag.set()
    async with asyncio.timeout(1):
        await asyncio.gather(*waiting[1:])
        await flag.wait()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_who_waited_goes_on_though_it_was_cleared_at_once() -> None:
    flag = Flag()
    waiting = asyncio.create_task(flag.wait())
    await asyncio.sleep(0)
    flag.set()
    flag.clear()
    async with asyncio.timeout(1):
        await waiting
    again = asyncio.create_task(flag.wait())
    await asyncio.sleep(0.01)
    assert not again.done()
    assert not flag.is_set()
    flag.set()
    await again
