"""The health check of containers."""

from __future__ import annotations

import asyncio

from affectstream_server.probe import main
from tests.support.wire import running_server


async def test_a_ready_server_is_well_and_one_that_is_gone_is_not() -> None:
    async with running_server() as server:
        assert await asyncio.to_thread(main, [server.address]) == 0
        assert await asyncio.to_thread(main, [server.address, "--live"]) == 0
    assert await asyncio.to_thread(main, [server.address, "--timeout", "1"]) == 1


async def test_a_server_without_its_model_lives_and_is_not_ready() -> None:
    async with running_server({"triton": {"address": "127.0.0.1:1"}}) as server:
        assert await asyncio.to_thread(main, [server.address]) == 1
        assert await asyncio.to_thread(main, [server.address, "--live"]) == 0
