"""A TCP proxy that does to a connection what networks do: cut it, freeze it, slow it down.

async with FaultProxy(server.address) as proxy:
    ...  # connect to proxy.address
    proxy.cut()        # RST to both sides, as where a machine is lost
    proxy.freeze()     # nothing passes and nothing is closed, as where a cable is pulled
    proxy.slices = 1, 7       # bytes arrive a few at a time
    proxy.up_limit = 1_000    # connections break after so many bytes
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

_READ_BYTES: Final = 16 * 1024
_RST: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: `close` sends RST and drops what was not sent."""


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards to ``target``, HOST:PORT, with faults.

    A fault holds for open connections and for new ones until it is taken back.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._port = host, int(port)
        self._server: asyncio.Server | None = None
        self._listening = 0
        self._open: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._frozen = False
        self.delay_s = 0.0
        """How much later each piece of data arrives, in each direction."""
        self.bytes_per_s: float | None = None
        """How much passes, of each connection and direction; None: all of it."""
        self.slices: tuple[int, int] | None = None
        """The fewest and the most bytes that pass at a time, each time another number; None: as they come."""
        self.slice_pause_s = 0.0
        """Between two slices."""
        self.up_limit: int | None = None
        """Each connection breaks when so many bytes passed to the target; None: it does not."""
        self.down_limit: int | None = None
        """The same of bytes from the target."""
        self.limit_growth = 0
        """How much more may pass on a connection than on the one that broke before it."""
        self.breaks_politely = False
        """Whether a limit ends a connection as a polite `cut`."""
        self.up_bytes = 0
        """How much passed to the target so far, of all connections."""
        self.down_bytes = 0
        """How much passed from it."""
        self._sizes = random.Random(0)  # noqa: S311 - the same in every run
        self.connections = 0
        """How many were accepted so far."""

    @property
    def address(self) -> str:
        """Where to connect to, also while connections are refused."""
        return f"127.0.0.1:{self._listening}"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    def retarget(self, target: str) -> None:
        """New connections go to another server."""
        host, _, port = target.rpartition(":")
        self._host, self._port = host, int(port)

    def cut(self, *, politely: bool = False) -> int:
        """Close every connection at once, on both sides; gives their number.

        ``politely``: by FIN, as a process that ends; else by RST, which also drops what is under way.
        """
        pairs = tuple(self._open)
        for pair in pairs:
            pair.close(politely=politely)
        return len(pairs)

    def freeze(self) -> None:
        """Let nothing pass and close nothing."""
        self._frozen = True
        for pair in self._open:
            pair.flows.clear()

    def thaw(self) -> None:
        """Let everything pass again, first what was held up."""
        self._frozen = False
        for pair in self._open:
            pair.flows.set()

    def leave_frozen(self) -> None:
        """Connections that are frozen stay so; new ones pass."""
        self._frozen = False

    async def refuse(self) -> None:
        """Refuse new connections; those that are open stay so."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await asyncio.sleep(0)

    async def accept(self) -> None:
        """Accept connections again, on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._listening)
            self._listening = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        pair = _Pair(writer)
        if not self._frozen:
            pair.flows.set()
        self._open.add(pair)
        try:
            up_reader, pair.up = await asyncio.open_connection(self._host, self._port)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(reader, pair.up, pair, up=True))
                ways.create_task(self._forward(up_reader, writer, pair, up=False))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(pair)
            self._tasks.discard(task)
            pair.close(politely=False)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair, *, up: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def read() -> None:
            while data := await reader.read(_READ_BYTES):
                await due.put((loop.time() + self.delay_s, data))
            await due.put((loop.time() + self.delay_s, b""))

        async def deliver() -> None:
            passed = 0
            while True:
                at_s, data = await due.get()
                await asyncio.sleep(at_s - loop.time())
                await pair.flows.wait()
                if not data:
                    raise ConnectionResetError
                for piece in self._pieces(data):
                    if self.bytes_per_s is not None:
                        await asyncio.sleep(len(piece) / self.bytes_per_s)
                    limit = self.up_limit if up else self.down_limit
                    part = piece if limit is None else piece[: max(0, limit - passed)]
                    writer.write(part)
                    await writer.drain()
                    passed += len(part)
                    self.up_bytes += len(part) * up
                    self.down_bytes += len(part) * (not up)
                    if limit is not None and passed >= limit:
                        setattr(self, "up_limit" if up else "down_limit", limit + self.limit_growth)
                        pair.close(politely=self.breaks_politely)
                        raise ConnectionResetError
                    if self.slices is not None:
                        await asyncio.sleep(self.slice_pause_s)

        async with asyncio.TaskGroup() as both:
            both.create_task(read())
            both.create_task(deliver())

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            size = len(data) if self.bytes_per_s is None else max(1, round(self.bytes_per_s / 20))
            size = size if self.slices is None else min(size, self._sizes.randint(*self.slices))
            yield data[:size]
            data = data[size:]


class _Pair:
    """Both sides of a connection."""

    def __init__(self, down: asyncio.StreamWriter) -> None:
        self._down = down
        self.up: asyncio.StreamWriter | None = None
        self.flows = asyncio.Event()

    def close(self, *, politely: bool) -> None:
        for writer in (self._down, self.up):
            if writer is None or writer.is_closing():
                continue
            if politely:
                writer.close()
                continue
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            writer.transport.abort()
