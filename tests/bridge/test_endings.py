"""The server gone and back, a bridge that stops, a peer that does not read, is gone or says nothing."""

from __future__ import annotations

import asyncio
import json
import signal
import socket as sockets
import subprocess
import sys

import aiohttp
import pytest

from tests.bridge.conftest import Both
from tests.bridge.test_stream import pieces
from tests.support.bridge import CONFIG, END, connected, ended, running_bridge
from tests.support.process import start_process
from tests.support.wire import finals, running_server


async def test_the_server_gone_and_back() -> None:
    async with running_server() as server:
        address = server.address
    async with running_bridge(address) as bridge:
        error, code = await ended(bridge.address, {"config": CONFIG})
        assert (error["reason"], error["retryAfterS"], code) == ("SERVER_UNREACHABLE", 1.0, 4503)
        assert address not in str(error)
        process, _ = await asyncio.to_thread(start_process, "--address", address)
        try:
            async with asyncio.timeout(30):
                while await ended(bridge.address, {"config": CONFIG}, END) != ({}, 1000):
                    await asyncio.sleep(0.1)
        finally:
            process.kill()
            process.communicate()


async def test_a_server_that_dies_is_told() -> None:
    process, address = await asyncio.to_thread(start_process)
    try:
        async with running_bridge(address) as bridge, connected(bridge.address) as socket:
            await socket.send({"config": CONFIG})
            await socket.event("sessionStarted")
            process.kill()
            assert await socket.to_the_end() == 4503
            assert socket.error["reason"] == "SERVER_UNREACHABLE"
    finally:
        process.kill()
        process.communicate()


async def test_a_bridge_that_stops_finishes_or_hands_over(both: Both) -> None:
    async with (
        running_bridge(both.server.address) as bridge,
        connected(bridge.address) as plain,
        connected(bridge.address) as resumable,
        connected(bridge.address) as silent,
    ):
        await plain.send({"config": CONFIG}, *pieces(0, 32_000))
        await resumable.send({"config": CONFIG | {"resumable": True}}, *pieces(0, 32_000))
        for socket in (plain, resumable):
            await socket.event("speechStarted")
        stopping = asyncio.create_task(bridge.stop())
        closing = await plain.event("sessionClosing")
        assert closing == {"reason": "CLOSE_REASON_DRAIN", "grace": "0.200s"}
        assert await plain.to_the_end() == 1000
        assert len(finals(plain.events)) >= 1
        assert await resumable.to_the_end() == 4503
        assert resumable.error["reason"] == "BRIDGE_STOPPING"
        assert await silent.to_the_end() == 4503
        await stopping
        with pytest.raises(aiohttp.ClientConnectionError):
            async with connected(bridge.address):
                pass
    async with connected(both.bridge.address) as again:
        started = resumable.messages[0]["event"]
        resume = {"sessionId": started["sessionId"], "resumeToken": started["sessionStarted"]["resumeToken"]}
        await again.send({"config": CONFIG | {"resumable": True, "resume": resume}})
        assert (await again.event("sessionStarted"))["resumed"] is True
        await again.send(END)
        await again.to_the_end()


async def test_sigterm_drains() -> None:
    async with running_server() as server:
        arguments = ("--server", server.address, "--listen", "127.0.0.1:0", "--drain", "0.1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "affectstream.cli", "bridge", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("affectstream bridge: ready on 127.0.0.1:")
        async with connected(line.split()[-1]) as socket:
            await socket.send({"config": CONFIG | {"resumable": True}})
            await socket.event("sessionStarted")
            process.send_signal(signal.SIGTERM)
            await socket.event("sessionClosing")
            assert await socket.to_the_end() == 4503
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert "Traceback" not in err.decode()


async def test_a_reader_that_does_not_read_is_cut_off(both: Both) -> None:
    async with running_bridge(both.server.address, slow_reader_s=0.3) as bridge:
        host, _, port = bridge.address.partition(":")
        narrow = sockets.socket()
        narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
        await asyncio.get_running_loop().run_in_executor(None, narrow.connect, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=4_096)
        try:
            writer.write(
                b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            assert b"101" in await reader.readline()
            writer.write(_frame(json.dumps({"config": CONFIG})))
            await both.one_stream()
            for number in range(4_000):
                control = {"controlId": f"{number:060}", "audioPaused": {}}
                writer.write(_frame(json.dumps({"control": control})))
            await both.no_stream()
            heard = await asyncio.wait_for(_rest(reader), 30)  # it reads again, too late
        finally:
            writer.transport.abort()
    assert b'"reason":"SLOW_READER"' in heard
    assert heard.endswith(b"\x11\x4dSLOW_READER")


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """The last 4 KiB until the closing frame, or the end of the connection."""
    heard = b""
    while not heard.endswith(b"SLOW_READER") and (more := await reader.read(65_536)):
        heard = (heard + more)[-4_096:]
    return heard


def _frame(text: str) -> bytes:
    """A masked text frame of less than 64 KiB; a mask of zeros changes nothing."""
    data = text.encode()
    head = bytes([0x81, 0x80 | len(data)]) if len(data) < 126 else b"\x81\xfe" + len(data).to_bytes(2, "big")
    return head + bytes(4) + data


async def test_a_peer_that_does_not_answer_is_dropped(both: Both) -> None:
    async with running_bridge(both.server.address, ping_after_s=0.2, pong_s=0.5) as bridge:
        async with connected(bridge.address, autoping=False) as socket:
            await socket.send({"config": CONFIG})
            await socket.event("sessionStarted")
            assert both.server.pipeline.streams == 1
            await both.no_stream()
        async with connected(bridge.address) as socket:  # this one answers pings
            await socket.send({"config": CONFIG})
            reading = asyncio.create_task(socket.to_the_end())
            await asyncio.sleep(1)
            await socket.send(END)
            assert await reading == 1000


async def test_connections_and_their_first_words_are_bounded(both: Both) -> None:
    async with running_bridge(both.server.address, max_connections=2, request_s=1.0) as bridge:
        host, _, port = bridge.address.partition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        assert b"503" in await silent[2][0].readline()
        for reader, writer in silent[:2]:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(reader.readexactly(1), 10)
            writer.close()
        silent[2][1].close()
        assert await ended(bridge.address, {"config": CONFIG}, END) == ({}, 1000)


@pytest.mark.parametrize(
    "request_text",
    ["GARBAGE", "GET / HTTP/9.9", "GET /healthz HTTP/1.1\r\nAuthorization: Bearer " + "secret" * 5_000],
    ids=["no HTTP", "another HTTP", "a header that is too long"],
)
async def test_what_is_no_request_is_not_repeated(
    both: Both, request_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = both.bridge.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{request_text}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert answer.startswith(b"HTTP/1.0 400")
    assert answer.endswith(b"\r\n\r\nthe request cannot be read")
    assert b"aiohttp" not in answer
    assert "secret" not in caplog.text


async def test_a_request_for_no_websocket(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/v1/stream") as answer:
        assert (answer.status, (await answer.json())["error"]["field"]) == (400, "Upgrade")


async def test_health(both: Both) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{both.bridge.address}/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        async with session.get(f"http://{both.bridge.address}/nothing") as answer:
            assert (answer.status, await answer.json()) == (404, {"error": {"message": "Not Found"}})
