"""The process that is measured: started on a free port, ready, stopped."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from bench.machine import on_core
from bench.scenario import Kind

_ROOT: Final = Path(__file__).resolve().parent.parent
_READY: Final = "affectstream: ready on "
_START_S: Final = 60.0
_STOP_S: Final = 20.0

_MODULES: Final[dict[str, str]] = {
    "service": "affectstream_server",
    "late": "affectstream_server",
    "listen": "affectstream_server",
    "recorded": "affectstream_server",
    "triton": "affectstream_server",
    "inference": "bench.recorded",
    "floor": "bench.floor",
    "websocket": "bench.floor_websocket",
}
_SETTINGS: Final[dict[str, dict[str, str]]] = {
    "late": {"AFFECTSTREAM_SCORING__SPECULATE": "false"},
    "listen": {"AFFECTSTREAM_SCORING__CANARY_S": "300"},
}


class ServerFailed(Exception):
    """The server did not start or did not stop; the message ends with what it wrote to stderr."""


class Server:
    """A server process as an async context: inside it is ready at `address` with process id `pid`.

    It takes its settings from ``AFFECTSTREAM_*`` of this process, as any server does.
    """

    def __init__(
        self,
        kind: Kind | Literal["inference"],
        core: int | None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """``settings`` are more of those variables. "inference" is the recorded Triton itself."""
        self._settings = dict(settings or {})
        self._kind = kind
        self._core = core
        self._process: asyncio.subprocess.Process | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        self.address = ""
        self.pid = 0

    async def __aenter__(self) -> Self:
        """Start it. Raises `ServerFailed`."""
        with on_core(self._core):
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _MODULES[self._kind], "--address", "127.0.0.1:0"),
                cwd=_ROOT,
                env=os.environ | _SETTINGS.get(self._kind, {}) | self._settings,
                stdout=asyncio.subprocess.PIPE,
                stderr=self._log,
            )
        self.pid = self._process.pid
        try:
            self.address = await asyncio.wait_for(self._ready(), _START_S)
        except BaseException as error:
            await self._end()
            told = self.told(f"not ready after {_START_S:.0f} s")
            self._log.close()
            if isinstance(error, TimeoutError):
                raise ServerFailed(told) from None
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it by SIGTERM; one that does not end in time is killed. Raises `ServerFailed`."""
        try:
            code = await self._end()
            if code != 0 and error is None:
                raise ServerFailed(self.told(f"ended with code {code}"))
        finally:
            self._log.close()

    async def _ready(self) -> str:
        assert self._process is not None  # noqa: S101 - __aenter__ has started it
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        while line := (await self._process.stdout.readline()).decode():
            if line.startswith(_READY):
                return line.removeprefix(_READY).strip()
        raise ServerFailed(self.told("ended before it was ready"))

    async def _end(self) -> int:
        assert self._process is not None  # noqa: S101 - __aenter__ has started it
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_S)
            except TimeoutError:
                self._process.kill()
        return await self._process.wait()

    def told(self, what: str) -> str:
        """``what``, and the last lines that the process wrote to stderr."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()[-20:]
        return "\n".join([f"{self._kind} server: {what}", *lines])
