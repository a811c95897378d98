"""HTTP/2 by hand, as far as connections go: what gRPC says on them, and peers that answer or do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
_ACK = 1


@dataclass
class Peer:
    """One end of a connection, which answers pings or does not."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answers: bool
    pings: list[float] = field(default_factory=list)
    """When each came, in seconds from the start."""
    farewell: str = ""
    """What the other side said as it went."""
    closed_at: float | None = None

    async def listen(self) -> None:
        """Read until the other side closes."""
        began = time.monotonic()
        try:
            while True:
                head = await self.reader.readexactly(9)
                kind, flags = head[3], head[4]
                data = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
                if kind == SETTINGS and not flags & _ACK:
                    self.say(SETTINGS, flags=_ACK)
                elif kind == PING and not flags & _ACK:
                    self.pings.append(time.monotonic() - began)
                    if self.answers:
                        self.say(PING, data, flags=_ACK)
                elif kind == GOAWAY:
                    self.farewell = data[8:].decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed_at = time.monotonic() - began

    def say(self, kind: int, data: bytes = b"", *, flags: int = 0) -> None:
        """Send a frame about the connection."""
        self.writer.write(len(data).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 0]) + data)

    async def ping(self, every_s: float) -> None:
        """Ping until cancelled."""
        while True:
            self.say(PING, bytes(8))
            await asyncio.sleep(every_s)


@asynccontextmanager
async def connected(address: str, *, answers: bool = True) -> AsyncIterator[Peer]:
    """A client that connects and asks for nothing."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE)
    peer = Peer(reader, writer, answers)
    peer.say(SETTINGS)
    listening = asyncio.create_task(peer.listen())
    try:
        yield peer
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        writer.close()


@asynccontextmanager
async def listening(*, answers: bool = True) -> AsyncIterator[tuple[str, list[Peer]]]:
    """A server that takes connections and says nothing to calls; gives its address and who came."""
    peers: list[Peer] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(peer: Peer) -> None:
        await peer.reader.readexactly(len(PREFACE))
        peer.say(SETTINGS)
        await peer.listen()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer, answers))
        tasks.add(asyncio.get_running_loop().create_task(serve(peers[-1])))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", peers
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in peers:
            peer.writer.close()
