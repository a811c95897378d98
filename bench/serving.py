"""A gRPC server that the service is compared to: it says where it listens, and ends by a signal."""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc


async def serve(server: grpc.aio.Server, address: str) -> None:
    """Bind, start, say so on stdout, and return after SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = server.add_insecure_port(address)
    await server.start()
    sys.stdout.write(f"affectstream: ready on {address.rpartition(':')[0]}:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(1.0)
