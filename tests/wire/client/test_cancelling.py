"""A task that is cancelled while a call of its ends is cancelled: it does not go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from affectstream import AffectClient
from tests.support.speech import sample_talk
from tests.support.wire import running_server

TALK = sample_talk()[: 16_000 * 2]


async def open_stream(client: AffectClient) -> None:
    async with client.stream():
        pass


async def analyze(client: AffectClient) -> None:
    await client.analyze(TALK)


@pytest.mark.parametrize("call", [open_stream, analyze])
async def test_a_cancellation_that_meets_a_refusal_is_not_lost(
    call: Callable[[AffectClient], Awaitable[None]],
) -> None:
    quotas = {"streams": 1, "audio_rate": 0.001}
    async with running_server({"quotas": quotas}) as server, AffectClient(server.address) as client:
        await client.analyze(TALK)
        async with client.stream():
            met = 0
            for number in range(800):
                calling = asyncio.ensure_future(call(client))
                await asyncio.sleep(0.00005 * (number % 97))
                if calling.cancel():
                    met += 1
                    with pytest.raises(asyncio.CancelledError):
                        await calling
                else:
                    await asyncio.gather(calling, return_exceptions=True)
            assert met > 50
