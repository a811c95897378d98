"""The proxy that tests break connections with does what it says, to plain sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support.fault_proxy import FaultProxy


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """A server that gives back what it gets; gives its HOST:PORT."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = proxy.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), 30) == b"hello"
    return reader, writer


async def test_a_cut_resets_and_a_polite_one_ends() -> None:
    async with echo() as address, FaultProxy(address) as proxy:
        reader, writer = await connect(proxy)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
        reader, writer = await connect(proxy)
        assert proxy.cut(politely=True) == 1
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        assert proxy.connections == 2


async def test_frozen_nothing_passes_and_thawed_everything_in_order() -> None:
    async with echo() as address, FaultProxy(address) as proxy:
        reader, writer = await connect(proxy)
        proxy.freeze()
        writer.write(b"a")
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(2), 0.2)
        proxy.thaw()
        assert await asyncio.wait_for(reader.readexactly(2), 30) == b"ab"
        writer.close()


async def test_delay_and_throttle_make_it_late() -> None:
    loop = asyncio.get_running_loop()
    async with echo() as address, FaultProxy(address) as proxy:
        reader, writer = await connect(proxy)
        proxy.delay_s = 0.1
        begun_s = loop.time()
        writer.write(b"late")
        await asyncio.wait_for(reader.readexactly(4), 30)
        assert loop.time() - begun_s >= 0.2, "0.1 s each way"
        proxy.delay_s, proxy.bytes_per_s = 0.0, 20_000
        begun_s = loop.time()
        writer.write(bytes(10_000))
        await asyncio.wait_for(reader.readexactly(10_000), 30)
        assert loop.time() - begun_s >= 0.4
        writer.close()


async def test_slices_are_small_and_lose_nothing() -> None:
    data = bytes(range(256)) * 4
    async with echo() as address, FaultProxy(address) as proxy:
        reader, writer = await connect(proxy)
        proxy.slices, proxy.slice_pause_s = (1, 7), 0.002
        writer.write(data)
        pieces: list[bytes] = []
        async with asyncio.timeout(30):
            while sum(map(len, pieces)) < len(data):
                pieces.append(await reader.read(65_536))
        assert b"".join(pieces) == data
        assert len(pieces) > len(data) / 7 / 5, "a busy machine may read a few at once"
        writer.close()


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("limit", [5, 6, 999, 1_000])
async def test_a_limit_passes_just_so_many_bytes_of_each_connection(way: str, limit: int) -> None:
    async with echo() as address, FaultProxy(address) as proxy:
        proxy.breaks_politely = True
        for _ in range(2):
            reader, writer = await connect(proxy)
            setattr(proxy, f"{way}_limit", limit)
            writer.write(bytes(1_000))
            came = await asyncio.wait_for(reader.read(), 30)
            assert len(came) == limit - 5 if way == "down" else len(came) <= limit - 5
            writer.close()
            setattr(proxy, f"{way}_limit", None)
        assert getattr(proxy, f"{way}_bytes") == 2 * limit


async def test_a_limit_resets_where_it_is_not_told_to_be_polite() -> None:
    async with echo() as address, FaultProxy(address) as proxy:
        reader, writer = await connect(proxy)
        proxy.up_limit = 10
        writer.write(b"0123456789")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()


async def test_refused_and_accepted_again_on_the_same_port() -> None:
    async with echo() as address, FaultProxy(address) as proxy:
        before = proxy.address
        reader, writer = await connect(proxy)
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        writer.write(b"open ones go on")
        assert await asyncio.wait_for(reader.readexactly(15), 30) == b"open ones go on"
        await proxy.accept()
        assert proxy.address == before
        writer.close()
        _, writer = await connect(proxy)
        writer.close()


async def test_new_connections_go_where_it_is_told() -> None:
    async with echo() as address, FaultProxy("127.0.0.1:1") as proxy:
        proxy.retarget(address)
        _, writer = await connect(proxy)
        writer.close()
