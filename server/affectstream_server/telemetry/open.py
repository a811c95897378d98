"""What the settings ask for, started and stopped with the server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from affectstream_server.observer import NOBODY, Observer
from affectstream_server.pipeline import Pipeline
from affectstream_server.settings_telemetry import TelemetrySettings
from affectstream_server.telemetry.installed import check_installed

if TYPE_CHECKING:
    from affectstream_server.telemetry.calls import Calls
    from affectstream_server.telemetry.exposition import Exposition
    from affectstream_server.telemetry.merge import Told
    from affectstream_server.telemetry.otlp_metrics import MetricExport

_log = logging.getLogger(__name__)


class Telemetry:
    """Nothing is on: nothing is imported, and nothing happens."""

    observer: Observer = NOBODY
    """Is told what the core does."""
    calls: Calls | None = None
    """Is told what the edge does."""
    metrics_address = ""
    """HOST:PORT of /metrics; empty: there is none."""
    exposes = True
    """Serve /metrics where the settings say so; else somebody else does, for several processes."""

    def start(self, pipeline: Pipeline) -> None:
        """Begin. Raises `CannotListen`."""

    def told(self) -> list[Told]:
        """Every metric as it is now; on any thread."""
        return []

    async def close(self) -> None:
        """Stop, and send what waits."""


class RunningTelemetry(Telemetry):
    """Metrics, traces or both."""

    def __init__(self, settings: TelemetrySettings) -> None:
        from prometheus_client import CollectorRegistry

        from affectstream_server.telemetry.calls import Calls
        from affectstream_server.telemetry.meters import Meters
        from affectstream_server.telemetry.observed import ObservedProcess
        from affectstream_server.telemetry.tracing import Tracing

        self._settings = settings
        self._registry = CollectorRegistry()
        self.meters = Meters(self._registry, settings)
        self.tracing = Tracing(settings)
        self.observer = ObservedProcess(settings, self.tracing, self.meters)
        self.calls = Calls(self.tracing, self.meters)
        self._exposition: Exposition | None = None
        self._export: MetricExport | None = None
        self._lag: asyncio.Task[None] | None = None

    def start(self, pipeline: Pipeline) -> None:
        from prometheus_client import ProcessCollector

        from affectstream_server.telemetry.exposition import Exposition
        from affectstream_server.telemetry.lag import watch_lag
        from affectstream_server.telemetry.otlp_metrics import MetricExport
        from affectstream_server.telemetry.state import StateOfServer

        settings = self._settings
        if not settings.measures:
            return
        export = MetricExport(settings) if settings.otlp_metrics else None
        self._registry.register(StateOfServer(pipeline, self.tracing, export))
        ProcessCollector(registry=self._registry)
        if settings.metrics and self.exposes:
            self._exposition = Exposition(settings.metrics_address, self._registry)
            self.metrics_address = self._exposition.address
            _log.info("metrics at http://%s/metrics", self.metrics_address)
        if export is not None:
            self._export = export
            export.start(self._registry)
        self._lag = asyncio.get_running_loop().create_task(watch_lag(self.meters.lag.observe))

    def told(self) -> list[Told]:
        from affectstream_server.telemetry.merge import told_of

        return told_of(self._registry)

    async def close(self) -> None:
        if self._lag is not None:
            self._lag.cancel()
            await asyncio.gather(self._lag, return_exceptions=True)
        if self._exposition is not None:
            await self._exposition.close()
            self.metrics_address, self._exposition = "", None
        export, self._export = self._export, None
        await asyncio.gather(self.tracing.close(), *([export.close()] if export is not None else []))


def open_telemetry(settings: TelemetrySettings) -> Telemetry:
    """Ready to start. Raises `SettingsError`, as `check_installed` does."""
    check_installed(settings)
    return RunningTelemetry(settings) if settings.on else Telemetry()
