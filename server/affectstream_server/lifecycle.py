"""A server's life: load, listen, ready, drain, gone."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from affectstream_server.edge.server import GrpcServer
from affectstream_server.pipeline import Pipeline
from affectstream_server.scoring.embedded import BUNDLED, EmbeddedScorer
from affectstream_server.settings import Settings

_log = logging.getLogger(__name__)


class Server:
    """One serving process. `start`, then `drain_and_stop`; or `serve_until_signalled` for both."""

    def __init__(self, settings: Settings) -> None:
        """Load the model and bind the socket. Raises `ModelRejected` or `CannotListen`."""
        self._settings = settings
        scorer = EmbeddedScorer(
            Path(settings.scoring.model) if settings.scoring.model else BUNDLED,
            threads=settings.scoring.threads,
            max_pending=settings.scoring.max_pending,
        )
        self.pipeline = Pipeline(settings, scorer)
        self._grpc = GrpcServer(settings.server, self.pipeline)

    @property
    def address(self) -> str:
        """HOST:PORT where it listens."""
        return self._grpc.address

    async def start(self) -> None:
        """Accept streams."""
        self.pipeline.start()
        await self._grpc.start()
        await self._grpc.set_ready(ready=True)

    async def drain_and_stop(self) -> None:
        """Say NOT_SERVING, refuse new streams, finish open utterances, close."""
        drain_s = self._settings.server.drain_s
        await self._grpc.set_ready(ready=False)
        if self.pipeline.streams:
            _log.info("draining: %d streams have %.0f s", self.pipeline.streams, drain_s)
        await self.pipeline.drain(drain_s)
        await self._grpc.stop(grace_s=1.0)
        await self.pipeline.close()

    async def serve_until_signalled(self, ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends at once.

        ``ready`` is called with the address when streams are accepted.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.start()
        ready(self.address)
        await stop.wait()
        stop.clear()
        draining = loop.create_task(self.drain_and_stop())
        again = loop.create_task(stop.wait())
        await asyncio.wait([draining, again], return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not draining.done():
            _log.warning("second signal: open streams are dropped")
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            await self._grpc.stop(grace_s=0)
            await self.pipeline.close()
        else:
            draining.result()
