"""What the transport does with connections. Times are shortened, so that what they do shows soon."""

from __future__ import annotations

import asyncio
import time

import pytest

from affectstream import AffectClient, ConnectError, ResourceExhausted, Timeouts
from affectstream.channel import KEEPALIVE_MS
from affectstream.contract import LIMITS
from affectstream_server.edge import arguments
from tests.support.http2 import connected
from tests.support.pki import Pki
from tests.support.wire import running_server

ALONE = (("grpc.use_local_subchannel_pool", 1),)
"""A connection of the client's own, also beside others to the same address."""


async def silent(address: str) -> float:
    """How long a connection lives on which nothing is said, in seconds."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(30):
        try:
            while await reader.read(4_096):
                pass  # the server's own preface comes first
        except ConnectionResetError:
            pass
    writer.close()
    return time.monotonic() - began


@pytest.mark.fault("frozen peer")
async def test_a_peer_that_answers_is_pinged_on_and_on_and_one_that_does_not_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arguments, "KEEPALIVE_MS", 200)
    monkeypatch.setattr(arguments, "PING_TIMEOUT_MS", 1_000)
    async with (
        running_server() as server,
        connected(server.address) as lively,
        connected(server.address, answers=False) as frozen,
    ):
        async with asyncio.timeout(30):
            while frozen.closed_at is None or len(lively.pings) < 4:
                await asyncio.sleep(0.01)
        assert frozen.closed_at > 1.0
        assert frozen.farewell == "ping_timeout"
        assert lively.closed_at is None, "though no call is open and no data comes"


async def test_a_client_that_pings_too_often_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "MIN_PING_INTERVAL_MS", 100)
    async with (
        running_server() as server,
        connected(server.address) as polite,
        connected(server.address) as rude,
    ):
        tasks = [asyncio.create_task(polite.ping(0.5)), asyncio.create_task(rude.ping(0.02))]
        await asyncio.sleep(2.2)
        async with asyncio.timeout(30):
            while not rude.farewell:
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert rude.farewell == "too_many_pings"
        assert polite.farewell == ""
        assert polite.closed_at is None


def test_our_own_clients_ping_seldom_enough() -> None:
    assert 2 * arguments.MIN_PING_INTERVAL_MS <= KEEPALIVE_MS


@pytest.mark.fault("silent connection")
async def test_a_handshake_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, pki: Pki
) -> None:
    assert arguments.HANDSHAKE_MS <= 5_000
    monkeypatch.setattr(arguments, "HANDSHAKE_MS", 500)
    tls = {"cert_file": pki.server.cert, "key_file": pki.server.key}
    async with running_server() as plain, running_server({"tls": tls}) as secure:
        for lived_s in await asyncio.gather(silent(plain.address), silent(secure.address)):
            assert 0.4 <= lived_s <= 2.5


@pytest.mark.fault("silent connection")
async def test_a_connection_without_a_call_is_closed_and_one_with_a_call_is_not() -> None:
    async with (
        running_server({"server": {"idle_connection_s": 1}}) as server,
        connected(server.address) as idle,
        AffectClient(server.address, options=ALONE) as client,
        AffectClient(server.address, options=ALONE) as seldom,
    ):
        await seldom.server_info()
        async with client.stream() as stream:
            await asyncio.sleep(1.5)
            async with asyncio.timeout(30):
                while idle.closed_at is None:
                    await asyncio.sleep(0.01)
            assert idle.farewell == "connection idle"
            await stream.send(bytes(640))
            await stream.end()
            assert [type(event).__name__ async for event in stream][-1] == "SessionClosed"
        await seldom.server_info()  # connects again, unseen


@pytest.mark.fault("limits reached")
async def test_connections_over_the_limit_are_closed_and_those_within_it_go_on() -> None:
    async def info() -> None:
        async with AffectClient(server.address, options=ALONE, timeouts=Timeouts(call_s=2)) as client:
            await client.server_info()

    async with running_server({"server": {"max_connections": 2}}) as server:
        async with connected(server.address) as first, AffectClient(server.address, options=ALONE) as client:
            await client.server_info()
            with pytest.raises(ConnectError, match="is it full"):
                await info()
            await client.server_info()
            assert first.closed_at is None
        async with asyncio.timeout(30):
            while True:  # the places are free when the server has seen them go
                try:
                    await info()
                    break
                except ConnectError:
                    await asyncio.sleep(0.02)


async def test_metadata_within_the_limit_always_passes_and_over_it_never() -> None:
    async with running_server() as server:
        for size, passes in (
            (LIMITS.metadata_bytes - 1_024, True),
            (LIMITS.metadata_bytes + 1_024, False),
        ):
            metadata = (("x-much", "x" * size),)
            async with AffectClient(server.address, metadata=metadata, options=ALONE) as client:
                for _ in range(10):
                    assert await answered(client) is passes


async def answered(client: AffectClient) -> bool:
    try:
        await client.server_info()
    except ResourceExhausted:
        return False
    return True
