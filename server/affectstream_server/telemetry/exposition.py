"""Where Prometheus reads: a thread of its own, so that a busy event loop can be seen being busy."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import start_http_server
from prometheus_client.registry import CollectorRegistry

from affectstream_server.cannot_listen import CannotListen

_STOP_S: Final = 5.0


class Exposition:
    """GET /metrics, as text or as OpenMetrics, which carries exemplars."""

    def __init__(self, address: str, registry: CollectorRegistry) -> None:
        """Listen at HOST:PORT. Raises `CannotListen`."""
        host, _, port = address.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        except OSError as error:
            raise CannotListen(
                f"telemetry.metrics_address: cannot listen on {address}: {error.strerror}; port 0 is any"
            ) from None
        self.address = f"{host}:{self._server.server_port}"
        """Where it listens, with the port it got."""

    async def close(self) -> None:
        """Stop listening."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        await asyncio.to_thread(self._thread.join, _STOP_S)
