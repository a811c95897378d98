"""The metrics of all processes, at the one address that Prometheus reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from affectstream_server.processes.child import Child
from affectstream_server.processes.link import LinkLost
from affectstream_server.telemetry import names
from affectstream_server.telemetry.exposition import Exposition
from affectstream_server.telemetry.merge import Told, merged, sums, told_of
from affectstream_server.telemetry.names import Metric

if TYPE_CHECKING:
    from affectstream_server.processes.switchboard import Switchboard

_log = logging.getLogger(__name__)

_GATHER_S: Final = 2.0
"""A process that takes longer is told of as it was."""
_SUPERVISOR: Final = "supervisor"


class Exposed:
    """Asks every process at each scrape."""

    def __init__(self, address: str, switchboard: Switchboard, wanted: int) -> None:
        """Listen at HOST:PORT. ``wanted`` processes are to be ready. Raises `CannotListen`."""
        self._switchboard = switchboard
        self._wanted = wanted
        self._last: dict[int, list[Told]] = {}
        self._gone: list[Told] = []
        self._ended = 0
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        registry = CollectorRegistry()
        registry.register(_Everyone(self, asyncio.get_running_loop()))
        self._exposition = Exposition(address, registry)
        self.address = self._exposition.address
        """Where it listens, with the port it got."""
        _log.info("metrics at http://%s/metrics", self.address)

    async def close(self) -> None:
        """Stop listening."""
        await self._exposition.close()

    def gone(self, child: Child) -> None:
        """What a process had counted, as far as it was asked, stays counted."""
        self._ended += 1
        self._gone = sums(self._gone, self._last.pop(child.serial, []))

    async def gather(self) -> tuple[dict[str, list[Told]], list[Told]]:
        """What each process says, by its label, and what stays of those that ended."""
        children = self._switchboard.children
        await asyncio.gather(*(self._ask(child) for child in children))
        told = {str(child.slot): self._last.get(child.serial, []) for child in children}
        return told | {_SUPERVISOR: self._of_supervisor()}, self._gone

    async def _ask(self, child: Child) -> None:
        try:
            answer, _ = await child.link.ask("metrics", within_s=_GATHER_S)
        except LinkLost:
            return
        self._last[child.serial] = answer["told"]

    def _of_supervisor(self) -> list[Told]:
        ready = sum(child.ready for child in self._switchboard.children)
        told = [
            *told_of(self._own),
            _told(names.PROCESSES, ready),
            _told(names.PROCESSES_WANTED, self._wanted),
            _told(names.PROCESSES_ENDED, self._ended),
        ]
        hub = self._switchboard.hub
        if hub is not None:
            told += [
                _told(names.BUS_DROPPED, hub.state.dropped),
                _told(names.BUS_RETAINED, hub.state.retained_bytes),
            ]
        return told


class _Everyone(Collector):
    """Asked on the scrape's own thread."""

    def __init__(self, exposed: Exposed, loop: asyncio.AbstractEventLoop) -> None:
        self._exposed = exposed
        self._loop = loop

    def collect(self) -> Iterator[Family]:
        """One server's metrics."""
        asked = asyncio.run_coroutine_threadsafe(self._exposed.gather(), self._loop)
        yield from merged(*asked.result(2 * _GATHER_S))


def _told(metric: Metric, value: Any) -> Told:
    return [metric.name, metric.kind, metric.text, [[metric.exposed, {}, value, None]]]
