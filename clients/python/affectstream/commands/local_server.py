"""A server of one's own for the length of a command."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from affectstream.errors import ServerUnavailable

READY_S: Final = 60.0
STOP_S: Final = 15.0
_READY: Final = re.compile(rb"affectstream: ready on (\S+)")


@asynccontextmanager
async def local_server(log: Path) -> AsyncIterator[str]:
    """Start the server on a free port of 127.0.0.1, give its address, and stop it by SIGTERM at the end.

    Args:
        log: Where its messages go.

    Raises:
        ServerUnavailable: it did not become ready.
    """
    with log.open("wb") as messages:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "affectstream_server", "--address", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=messages,
            start_new_session=True,  # Ctrl-C at the terminal is for the client, which then stops the server
        )
    try:
        yield await _ready(process, log)
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101  asked for above
    try:
        async with asyncio.timeout(READY_S):
            while line := await process.stdout.readline():
                if ready := _READY.match(line):
                    return ready.group(1).decode()
            status = await process.wait()
    except TimeoutError:
        raise ServerUnavailable(f"the server was not ready within {READY_S:g} s") from None
    raise ServerUnavailable(f"the server ended with status {status}{_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
