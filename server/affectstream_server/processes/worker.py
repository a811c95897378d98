"""`python -m affectstream_server.processes.worker FD`: one of several processes. Started by the supervisor.

Its settings come over the socket pair whose end is ``FD``, so that no secret stands in a command line. It
drains and ends when the supervisor says so by SIGTERM, and when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable
from typing import Final

from affectstream_server.cannot_listen import CannotListen
from affectstream_server.processes.hub_bus import HubBus
from affectstream_server.processes.link import Answer, Link, Message
from affectstream_server.processes.siblings import Siblings
from affectstream_server.settings import Settings, SettingsError
from affectstream_server.telemetry.logging import configure
from affectstream_server.telemetry.open import Telemetry

_log = logging.getLogger(__name__)

_HELLO_S: Final = 30.0


class _Worker:
    """One process's life."""

    def __init__(self) -> None:
        self._link = Link(self._handle)
        self._hello: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._siblings: Siblings | None = None
        self._bus: HubBus | None = None
        self._telemetry: Telemetry | None = None

    async def serve(self, end: socket.socket) -> int:
        """Until told to stop. Returns the exit code, as `affectstream serve` does."""
        await self._link.open(end)
        reading = asyncio.get_running_loop().create_task(self._read())
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = await self._hello
            return await self._serve(hello)
        finally:
            await self._link.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _serve(self, hello: Message) -> int:
        from affectstream_server.heartbeat import end_soon
        from affectstream_server.lifecycle import Server
        from affectstream_server.scoring.embedded import ModelRejected

        settings = Settings.model_validate(hello.fields["settings"])
        configure(settings.logging)
        if hello.fields["hub"]:
            self._bus = HubBus(self._link, settings.bus.timeout_ms / 1_000)
        siblings = Siblings(self._link, hello.fields["serial"], hello.fields["secret"], self._bus)
        try:
            server = Server(settings, siblings)
            server.telemetry.exposes = False
            self._siblings, self._telemetry = siblings, server.telemetry
            try:
                await server.serve_until_signalled(
                    lambda _: self._link.tell("ready"),
                    lambda: self._link.tell("up", address=siblings.inner_address),
                )
            finally:
                end_soon()
        except (SettingsError, CannotListen, ModelRejected) as error:
            for line in str(error).splitlines():
                sys.stderr.write(f"affectstream serve: {line}\n")
            return 2 if isinstance(error, SettingsError) else 1
        return 0

    async def _read(self) -> None:
        await self._link.run()
        _log.warning("the supervisor is gone: draining")
        signal.raise_signal(signal.SIGTERM)

    async def _metrics(self) -> Answer:
        told = await asyncio.to_thread(self._telemetry.told) if self._telemetry is not None else []
        return {"told": told}

    def _handle(self, message: Message) -> Answer | Awaitable[Answer]:
        match message.kind:
            case "hello":
                self._hello.set_result(message)
            case "beat":
                return {}
            case "metrics":
                return self._metrics()
            case "bus_wake" if self._bus is not None:
                self._bus.woken(message.fields["number"])
            case _ if self._siblings is not None:
                return self._siblings.handle(message)
        return None


def main() -> int:
    async def serve() -> int:
        return await _Worker().serve(socket.socket(fileno=int(sys.argv[1])))

    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
