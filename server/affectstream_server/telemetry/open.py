"""What the settings ask for, started and stopped with the server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from affectstream_server.pipeline import Pipeline
from affectstream_server.section import SettingsError
from affectstream_server.settings_telemetry import TelemetrySettings

if TYPE_CHECKING:
    from affectstream_server.telemetry.exposition import Exposition

_log = logging.getLogger(__name__)


class Telemetry:
    """All of it. Where nothing is on, nothing is imported and nothing happens."""

    def __init__(self, settings: TelemetrySettings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._exposition: Exposition | None = None

    @property
    def metrics_address(self) -> str:
        """HOST:PORT of /metrics; empty: there is none."""
        return self._exposition.address if self._exposition is not None else ""

    def start(self) -> None:
        """Begin. Raises `CannotListen`."""
        if self._settings.metrics:
            from affectstream_server.telemetry.exposition import Exposition
            from affectstream_server.telemetry.state import StateOfServer

            self._exposition = Exposition(self._settings.metrics_address, StateOfServer(self._pipeline))
            _log.info("metrics at http://%s/metrics", self.metrics_address)

    async def close(self) -> None:
        """Stop, and send what waits."""
        if self._exposition is not None:
            await self._exposition.close()
            self._exposition = None


def open_telemetry(settings: TelemetrySettings, pipeline: Pipeline) -> Telemetry:
    """Ready to start. Raises `SettingsError`, as `check_installed` does."""
    check_installed(settings)
    return Telemetry(settings, pipeline)


def check_installed(settings: TelemetrySettings) -> None:
    """Raises `SettingsError` where something is asked for that is not installed."""
    try:
        if settings.metrics:
            import prometheus_client  # noqa: F401
        if settings.traces:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter
            import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"telemetry: {error.name} is not installed; it comes with: pip install 'affectstream[telemetry]'"
        ) from None
