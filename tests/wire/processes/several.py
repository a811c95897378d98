"""A server of two processes, and connections of which it is known where they lead; or all in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from affectstream_server.processes.child import Child
from affectstream_server.processes.ledger import Ledger
from affectstream_server.processes.link import Link
from affectstream_server.processes.siblings import Siblings
from affectstream_server.processes.switchboard import Switchboard
from affectstream_server.resume import ResumeKey
from tests.support.process import start_process
from tests.support.wire import Request, config, stub
from tests.wire.resuming import Call

_MARK = slice(len(ResumeKey().token(1)), None)
"""Of a resume token: which process has the session."""


@contextmanager
def two_processes(log: Path, *arguments: str, **settings: str) -> Iterator[tuple[Popen[str], str]]:
    """A server of two processes, and where it listens. ``settings``: SECTION__KEY="value"."""
    environment = {f"AFFECTSTREAM_{name}": value for name, value in settings.items()}
    process, address = start_process("--processes", "2", *arguments, environment=environment, log=log)
    try:
        yield process, address
    finally:
        for child in workers(process):
            child.kill()
        process.kill()
        process.communicate()


def workers(supervisor: Popen[str]) -> list[psutil.Process]:
    """The processes that serve, the one started first before the others."""
    try:
        children = psutil.Process(supervisor.pid).children()
    except psutil.NoSuchProcess:
        return []
    return sorted(children, key=lambda child: child.create_time())


def mark_of(call: Call) -> bytes:
    """Which process the call's session is in."""
    return call.started.resume_token[_MARK]


def asked(**fields: Any) -> Request:
    """The config of a session that may be continued."""
    return config(resumable=True, **fields)


@asynccontextmanager
async def lines_to_each(address: str) -> AsyncIterator[list[Any]]:
    """A stub for each of the two processes, on a connection of its own."""
    async with AsyncExitStack() as stack:
        found: dict[bytes, Any] = {}
        for _ in range(40):
            service = await stack.enter_async_context(stub(address))
            async with on(service, asked()) as call:
                found.setdefault(mark_of(call), service)
            if len(found) == 2:
                break
        assert len(found) == 2, "all of 40 connections lead to one process"
        yield [found[mark] for mark in sorted(found)]


@asynccontextmanager
async def on(service: Any, first: Request) -> AsyncIterator[Call]:
    """A call of this stub that has its first event; lost at the end."""
    call = Call(service.StreamAffect(), first)
    await call.send([first])
    await call.until(lambda events: events)
    try:
        yield call
    finally:
        call.call.cancel()


@asynccontextmanager
async def linked(count: int) -> AsyncIterator[tuple[Switchboard, list[Siblings]]]:
    """What so many processes know of each other, all in this one: each with its link to one switchboard."""
    switchboard = Switchboard(Ledger(), None, lambda: None)
    links: list[Link] = []
    everyone: list[Siblings] = []
    for serial in range(1, count + 1):
        child = Child(serial, serial, switchboard.take)
        siblings = Siblings(Link(lambda _: None), serial, "secret")
        link = siblings.link = Link(siblings.handle)
        for end, of in zip(socket.socketpair(), (child.link, link), strict=True):
            await of.open(end)
            links.append(of)
        switchboard.add(child)
        everyone.append(siblings)
    running = [asyncio.create_task(link.run()) for link in links]
    try:
        yield switchboard, everyone
    finally:
        for link in links:
            await link.close()
        await asyncio.gather(*running)
