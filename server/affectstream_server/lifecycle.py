"""A server's life: load, listen, ready, drain, gone."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Final

from affectstream_server.edge.server import GrpcServer
from affectstream_server.edge.shared import SharedProcess
from affectstream_server.heartbeat import beat
from affectstream_server.pipeline import Pipeline
from affectstream_server.processes.siblings import Siblings
from affectstream_server.scoring.router import from_settings
from affectstream_server.settings import Settings
from affectstream_server.stages import libopus
from affectstream_server.telemetry.open import open_telemetry

_log = logging.getLogger(__name__)

_CLOSE_S: Final = 5.0
"""For each part to close: a process that was told to end must not wait for one that hangs."""


class Server:
    """One serving process. `start`, then `drain_and_stop`; or `serve_until_signalled` for both."""

    def __init__(self, settings: Settings, siblings: Siblings | None = None) -> None:
        """Load the models of this process and bind the socket; ``siblings``: of one process of several.

        Raises `ModelRejected`, `CannotListen` or `SettingsError`.
        """
        self._settings = settings
        libopus.load()
        self.telemetry = open_telemetry(settings.telemetry)
        self._siblings = siblings
        bus = siblings.bus if siblings is not None else None
        self.pipeline = Pipeline(settings, from_settings(settings), self.telemetry.observer, bus=bus)
        self._shared = SharedProcess(settings, self.pipeline, siblings, self.telemetry) if siblings else None
        service = self._shared.service if self._shared is not None else None
        self._grpc = GrpcServer(settings, self.pipeline, self.telemetry.calls, service)
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT where it listens."""
        return self._grpc.address

    async def start(self) -> None:
        """Listen. Streams are accepted from when the model is ready: at once for one in this process."""
        self.telemetry.start(self.pipeline)
        self.pipeline.start()
        if self._shared is not None:
            await self._shared.start(self._changed.set)
        await self._grpc.start()
        self.pipeline.router.start(self._changed.set)
        self._say_readiness()
        self._following = asyncio.get_running_loop().create_task(self._follow_models())

    async def ready(self) -> None:
        """Return when streams are accepted."""
        await self._ready.wait()

    async def drain_and_stop(self) -> None:
        """Say NOT_SERVING, refuse new streams, finish open utterances, close."""
        drain_s = self._settings.server.drain_s
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self._grpc.set_ready(ready=False)
        if self.pipeline.streams:
            _log.info("draining: %d streams have %.0f s", self.pipeline.streams, drain_s)
        await self.pipeline.drain(drain_s)
        if self._shared is not None:
            await self._shared.drained(drain_s)
        await self._stop(grace_s=1.0)

    async def serve_until_signalled(
        self, ready: Callable[[str], None], listening: Callable[[], None] | None = None
    ) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends at once.

        ``ready`` is called with the address when streams are accepted, ``listening`` when calls are answered.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        beating = loop.create_task(beat())
        try:
            await self.start()
            if listening is not None:
                listening()
            await self._serve_until(stop, ready)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _serve_until(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        if not self._ready.is_set():
            _log.warning("listening on %s, not ready: %s", self.address, self.pipeline.router.trouble)
        stopping, serving = loop.create_task(stop.wait()), loop.create_task(self.ready())
        await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if self._ready.is_set():
            ready(self.address)
        await stopping
        stop.clear()
        draining = loop.create_task(self.drain_and_stop())
        again = loop.create_task(stop.wait())
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not draining.done():
            _log.warning("second signal: open streams are dropped")
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            await self._stop(grace_s=0)
        else:
            draining.result()

    async def _stop(self, grace_s: float) -> None:
        await _within(grace_s + _CLOSE_S, "connections", self._close_edge(grace_s))
        await _within(_CLOSE_S, "pipeline", self.pipeline.close())
        await _within(_CLOSE_S, "telemetry", self.telemetry.close())

    async def _close_edge(self, grace_s: float) -> None:
        await self._grpc.stop(grace_s)
        if self._shared is not None:
            await self._shared.stop()

    async def _follow_models(self) -> None:
        """Readiness follows the default model; liveness does not."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._say_readiness()

    def _say_readiness(self) -> None:
        trouble = self.pipeline.router.trouble
        everyone = self._siblings is None or self._siblings.everyone
        self._grpc.set_ready(ready=not trouble and everyone)
        if not trouble:
            self._ready.set()


async def _within(limit_s: float, what: str, closing: Coroutine[None, None, None]) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await closing
    except TimeoutError:
        _log.error("%s did not close within %.0f s", what, limit_s)
    except Exception:  # noqa: BLE001 - the other parts are to be closed all the same
        _log.exception("%s did not close", what)
