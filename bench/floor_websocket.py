"""The least that an aiohttp WebSocket server can do with the frames: take them and drop them."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from aiohttp import web


async def _drop(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _serve(address: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.add_routes([web.get("/", _drop), web.get("/health", _health)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    await web.TCPSite(runner, host, int(port)).start()
    sys.stdout.write(f"affectstream: ready on {host}:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.floor_websocket", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1:0", metavar="HOST:PORT", help="where to listen")
    asyncio.run(_serve(parser.parse_args().address))
    return 0


if __name__ == "__main__":
    sys.exit(main())
