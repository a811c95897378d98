"""What the client's channel arguments do, seen from the other end of the line."""

from __future__ import annotations

import asyncio

import pytest

from affectstream import AffectClient, ResourceExhausted, ServerUnavailable, TimedOut, Timeouts
from affectstream.channel import RECEIVE_MESSAGE_BYTES
from affectstream.v1 import affect_pb2 as pb
from tests.support.http2 import listening
from tests.wire.client.helpers import STARTED, Call, Requests, odd_server, response

QUICK = (("grpc.keepalive_time_ms", 300), ("grpc.http2.ping_timeout_ms", 300))
PATIENT = Timeouts(session_start_s=20)


async def wait(address: str) -> None:
    """Open a stream to a server that says nothing, and wait for its first event."""
    async with AffectClient(address, timeouts=PATIENT, options=QUICK) as client, client.stream():
        raise AssertionError("it said nothing")


async def test_a_silent_line_is_pinged_on_and_on() -> None:
    """gRPC's default stops after two pings without data: a long silence would then hide a dead line."""
    async with listening() as (address, peers):
        waiting = asyncio.create_task(wait(address))
        async with asyncio.timeout(30):
            while not peers or len(peers[0].pings) < 4:
                await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_server_that_does_not_answer_pings_is_given_up() -> None:
    async with listening(answers=False) as (address, peers):
        async with asyncio.timeout(15):
            with pytest.raises(ServerUnavailable):
                await wait(address)
        async with asyncio.timeout(15):
            while peers[0].closed_at is None:
                await asyncio.sleep(0.01)
        assert peers[0].pings
        assert peers[0].farewell == "ping_timeout"


async def test_a_line_without_a_call_is_not_pinged() -> None:
    timeouts = Timeouts(call_s=0.5)
    async with (
        listening() as (address, peers),
        AffectClient(address, timeouts=timeouts, options=QUICK) as client,
    ):
        with pytest.raises(TimedOut):
            await client.server_info()
        pinged = len(peers[0].pings)
        await asyncio.sleep(1.5)
        assert peers[0].closed_at is None
        assert len(peers[0].pings) == pinged


async def test_an_answer_that_is_too_large_is_refused() -> None:
    async def flood(_: Requests, call: Call) -> None:
        await call.write(STARTED)
        warning = pb.Warning(code="X", message="x" * (RECEIVE_MESSAGE_BYTES + 1))
        await call.write(response(2, warning=warning))

    async with odd_server(flood) as address, AffectClient(address) as client, client.stream() as stream:
        with pytest.raises(ResourceExhausted, match="too large"):
            async for _ in stream:
                pass
