"""Which bus the settings ask for."""

from __future__ import annotations

from importlib import import_module

from affectstream_server.bus.bus import Bus
from affectstream_server.bus.memory import MemoryBus
from affectstream_server.section import SettingsError
from affectstream_server.settings_bus import BusSettings


def open_bus(settings: BusSettings) -> Bus | None:
    """The bus; None: nothing is to be retained. Raises `SettingsError`."""
    if not settings.on:
        return None
    if not settings.url.get_secret_value():
        return MemoryBus(settings)
    try:
        redis = import_module("affectstream_server.bus.redis")
    except ImportError as error:
        raise SettingsError(
            f'bus.url: {error.name} is not installed; it comes with: pip install "affectstream[redis]"'
        ) from None
    bus: Bus = redis.RedisBus(settings)
    return bus
