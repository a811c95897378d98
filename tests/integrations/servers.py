"""Servers for the adapters' tests: the sample talk's turns, and processes that can be frozen and killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from tests.support.speech import sample_talk

# Turns of the sample talk, in seconds, and what the bundled model hears in them.
UNSURE: Final = (0.3, 3.8)
UPSET: Final = (10.6, 14.1)
EVEN: Final = (14.2, 18.4)
SILENCE_S: Final = 0.6
POLICY: Final = "sensitive"
"""The default is too careful for the talk's synthetic voices."""
GUIDED: Final = {"guidance": {"policy": POLICY}}
"""Settings of a server that says it."""


def turn(bounds: tuple[float, float]) -> NDArray[np.int16]:
    """One turn of the sample talk with silence after it: int16 at 16 kHz."""
    start, end = (round(second * SAMPLE_RATE_HZ) for second in bounds)
    silence = np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ), np.int16)
    return np.concatenate([sample_talk()[start:end], silence])


class Process:
    """A server as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    def freeze(self) -> None:
        """It answers nothing more, and its sockets stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """It is gone, without a word."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def server_process(address: str = "127.0.0.1:0") -> AsyncIterator[Process]:
    """A server that is ready; killed at the end."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "affectstream_server", "--address", address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "AFFECTSTREAM_GUIDANCE__POLICY": POLICY},
    )
    assert started.stdout is not None
    try:
        async with asyncio.timeout(30):
            while (
                ready := re.match(rb"affectstream: ready on (\S+)", await started.stdout.readline())
            ) is None:
                assert started.returncode is None
        yield Process(started, ready[1].decode())
    finally:
        await Process(started, "").kill()
