"""One process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from typing import Any

from affectstream_server.processes.link import Answer, Link, LinkLost, Message

Handler = Callable[["Child", Message], Answer | Awaitable[Answer]]


class Child:
    """Started by `start`; `ended` returns when it is gone."""

    def __init__(self, slot: int, serial: int, handle: Handler) -> None:
        self.slot = slot
        """Its place among those that serve at once, from 1; whichever is started in its stead has it too."""
        self.serial = serial
        """Its own number, which no other ever has."""
        self.address = ""
        """Where others call it; empty: it does not listen yet."""
        self.ready = False
        """It accepts streams."""
        self.link = Link(lambda message: handle(self, message))
        self._began = time.monotonic()
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def age_s(self) -> float:
        """Since it was to start."""
        return time.monotonic() - self._began

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None  # noqa: S101 - it was started
        return self._process.pid

    async def start(self, hello: dict[str, Any]) -> None:
        """Start the process, and tell it what it has to know first. Raises `OSError`: none is started."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "affectstream_server.processes.worker", str(theirs.fileno())),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the supervisor, which tells everyone once
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        await self.link.open(ours)
        self._reading = asyncio.get_running_loop().create_task(self.link.run())
        self.link.tell("hello", serial=self.serial, **hello)

    async def ended(self) -> int:
        """Wait until it is gone. Returns its exit code; below 0, the signal that ended it."""
        assert self._process is not None  # noqa: S101 - it was started
        code = await self._process.wait()
        await self.link.close()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, where it lives."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def answers(self, within_s: float) -> bool:
        """Its event loop goes round."""
        try:
            await self.link.ask("beat", within_s=within_s)
        except LinkLost:
            return False
        return True
