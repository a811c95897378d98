"""Which bus the settings ask for."""

from __future__ import annotations

from affectstream_server.bus.bus import Bus
from affectstream_server.bus.memory import MemoryBus
from affectstream_server.settings_bus import BusSettings


def open_bus(settings: BusSettings) -> Bus | None:
    """The bus; None: nothing is to be retained."""
    if not settings.on:
        return None
    return MemoryBus(settings)
