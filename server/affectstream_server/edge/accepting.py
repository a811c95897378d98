"""A grpc.aio server that goes on accepting calls.

A call whose path is not UTF-8 ends the task of grpc.aio that accepts them (1.85.1 decodes it unguarded): gRPC
closes the listener, and only the calls that are open go on. Anybody can send it, without a token. So another
server takes the place of one that this happened to, at the same address, and nobody's call is cut.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

import grpc

_log = logging.getLogger(__name__)

MOST_LEFT: Final = 8
"""Servers before this one whose calls may go on; of the oldest above that they are cut."""
_AGAIN_S: Final = 0.02
_LONGEST_S: Final = 1.0


class Accepting:
    """The server of now, and the calls of those before.

    Args:
        make: A server with its handlers, without an address.
        bind: Gives it an address; returns the port. Raises `RuntimeError` where that cannot be had.
        address: HOST:PORT; port 0 is any.
        linger_s: How long calls of a server that was replaced may go on.
    """

    def __init__(
        self,
        make: Callable[[], grpc.aio.Server],
        bind: Callable[[grpc.aio.Server, str], int],
        address: str,
        linger_s: float,
    ) -> None:
        self._make = make
        self._bind = bind
        self._linger_s = linger_s
        self._server = make()
        host = address.rpartition(":")[0]
        self.address = f"{host}:{bind(self._server, address)}"
        """Where it listens, with the port it got."""
        self._left: dict[asyncio.Task[None], grpc.aio.Server] = {}
        self._replacing: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Accept calls."""
        await self._start(self._server)

    async def stop(self, grace_s: float) -> None:
        """Close the listener, give open calls ``grace_s``, then end them."""
        self._stopping = True
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait({self._replacing})
        await asyncio.gather(*(_close(each, grace_s) for each in (self._server, *self._left.values())))

    async def _start(self, server: grpc.aio.Server) -> None:
        before = asyncio.all_tasks()
        await server.start()
        for task in asyncio.all_tasks() - before:
            if not inspect.iscoroutine(task.get_coro()):  # compiled: gRPC's
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A task of gRPC's own is over. It is lost where that was by a fault."""
        if task.cancelled() or task.exception() is None or self._stopping:
            return
        _log.error("gRPC accepts no calls any more (%s): it is begun again", type(task.exception()).__name__)
        self._replacing = asyncio.get_running_loop().create_task(self._replace())

    async def _replace(self) -> None:
        closing = asyncio.get_running_loop().create_task(_close(self._server, self._linger_s))
        self._left[closing] = self._server
        closing.add_done_callback(self._left.pop)
        self._server = self._make()
        wait_s = _AGAIN_S
        while True:
            try:
                self._bind(self._server, self.address)
                break
            except RuntimeError as refused:  # the listener before is not closed yet
                if wait_s == _LONGEST_S:
                    _log.error("%s cannot be listened on again yet: %s", self.address, refused)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_S)
        await self._start(self._server)
        for oldest in list(self._left.values())[:-MOST_LEFT]:
            await _close(oldest, 0)


async def _close(server: grpc.aio.Server, grace_s: float) -> None:
    try:
        await server.stop(grace_s)
    except Exception:  # noqa: BLE001 - what ended it is told again by who is first to stop it
        await server.stop(grace_s)
