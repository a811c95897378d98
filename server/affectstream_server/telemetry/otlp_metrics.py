"""The metrics of /metrics, brought to an OTLP receiver: from a thread of its own, each interval.

They are read off the same registry: there is one book. An export that fails loses nothing, since the next
one holds the sums from the start.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from prometheus_client import CollectorRegistry

from affectstream_server.settings_telemetry import TelemetrySettings
from affectstream_server.telemetry.families import metrics_data

_log = logging.getLogger(__name__)

_CLOSING_S: Final = 3.0
"""For the last export of a process that ends."""


class MetricExport:
    """Exports until it is closed; once more then. One export at a time, each within its deadline."""

    def __init__(self, settings: TelemetrySettings) -> None:
        address = settings.otlp_metrics
        path = urlsplit(address).path.strip("/")
        self._otlp = OTLPMetricExporter(
            endpoint=address if path else f"{address.rstrip('/')}/v1/metrics",
            timeout=settings.export_timeout_s,
        )
        self._every_s = settings.otlp_metrics_interval_s
        self._registry = CollectorRegistry()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-export", daemon=True)
        self._counts: Counter[str] = Counter(exported=0, failed=0)

    @property
    def counts(self) -> Mapping[str, int]:
        """Exports since the start: exported, failed."""
        return self._counts

    def start(self, registry: CollectorRegistry) -> None:
        """Export what the registry holds from now on."""
        self._registry = registry
        self._thread.start()

    async def close(self) -> None:
        """Export once more, as far as there is time, and stop."""
        self._closing.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, _CLOSING_S)
        self._otlp.shutdown()  # ends a wait for another attempt
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSING_S)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(self._every_s)
            self._export()

    def _export(self) -> None:
        try:
            result = self._otlp.export(metrics_data(self._registry))
        except Exception:  # noqa: BLE001 - the next one may be well
            _log.exception("metrics could not be exported")
            result = MetricExportResult.FAILURE
        self._counts["exported" if result is MetricExportResult.SUCCESS else "failed"] += 1
