"""Whether what telemetry needs is there; imports nothing of the service."""

from __future__ import annotations

from importlib import import_module

from affectstream_server.section import SettingsError
from affectstream_server.settings_telemetry import TelemetrySettings


def check_installed(settings: TelemetrySettings) -> None:
    """Raises `SettingsError` where something is asked for that is not installed."""
    if not settings.on:
        return
    try:
        for package in ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk", "prometheus_client"):
            import_module(package)
    except ImportError as error:
        raise SettingsError(
            f"telemetry: {error.name} is not installed; it comes with: pip install 'affectstream[telemetry]'"
        ) from None
