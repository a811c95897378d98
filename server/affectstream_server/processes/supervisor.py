"""Starts the processes that serve one port, starts those that crash anew, and ends them together."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import signal
from collections.abc import Callable
from typing import Any, Final

from affectstream_server.processes.child import Child
from affectstream_server.processes.hub import Hub
from affectstream_server.processes.ledger import Ledger
from affectstream_server.processes.port import Port
from affectstream_server.processes.switchboard import Switchboard
from affectstream_server.settings import Settings

_log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BACK_OFF_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before a process that crashed is started anew; further ones wait as long as the last."""
_WELL_S: Final = 60.0
"""A process that served so long has no past."""
_FAILED_STARTS: Final = 5
"""So many starts of a process in a row that did not come to serve, and everything is given up."""
_BEAT_S: Final = 10.0
_MISSED: Final = 3
"""Beats in a row from which a process is taken to hang."""
_START_S: Final = 120.0
"""From a process's start to its listening."""
_END_S: Final = 20.0
"""After the drain, for scores that are due and for slow readers; then what is left is killed."""


class Supervisor:
    """Several processes as one service. It hears no audio, and it serves no call itself."""

    def __init__(self, settings: Settings, count: int) -> None:
        """``count`` processes. Takes the port. Raises `CannotListen`."""
        self._settings = settings
        self._count = count
        self._port = Port(settings.server.address, shared=settings.server.reuse_port)
        own_hub = settings.bus.on and not settings.bus.url.get_secret_value()
        self._hub = Hub(settings.bus) if own_hub else None
        self._switchboard = Switchboard(Ledger(), self._hub, self._changed)
        self._hello = {
            "settings": for_processes(settings, self._port.address, count),
            "secret": secrets.token_hex(32),
            "hub": own_hub,
        }
        self._serials = itertools.count(1)
        self._stop = asyncio.Event()
        self._signals = 0
        self._failed: int | None = None
        self._ready: Callable[[str], None] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT where they listen."""
        return self._port.address

    async def serve(self, ready: Callable[[str], None]) -> int:
        """Serve until SIGTERM, SIGINT or SIGHUP, then drain. Returns the exit code.

        ``ready`` is called with the address when all processes accept streams.
        """
        self._ready = ready
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled)
        if self._hub is not None:
            self._hub.start()
        exposition = self._switchboard.expose(self._settings.telemetry, self._count)
        keeping = [loop.create_task(self._keep(slot)) for slot in range(1, self._count + 1)]
        beating = loop.create_task(self._watch_beats())
        try:
            await self._stop.wait()
            await self._end(keeping)
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if exposition is not None:
                await exposition.close()
            if self._hub is not None:
                await self._hub.close()
            self._port.close()
        codes = [task.result() for task in keeping]
        return self._failed if self._failed is not None else max(codes)

    def _signalled(self) -> None:
        self._stop.set()
        self._signals += 1
        if self._signals == 2:
            _log.warning("second signal: open streams are dropped")
        for child in self._switchboard.children:
            child.signal(signal.SIGTERM)

    def _give_up(self, code: int) -> None:
        if self._failed is None and not self._stop.is_set():
            self._failed = code
            self._signalled()

    async def _end(self, keeping: list[asyncio.Task[int]]) -> None:
        within_s = self._settings.server.drain_s + _END_S
        _, late = await asyncio.wait(keeping, timeout=within_s)
        if late:
            _log.error("%d processes did not end in time and are killed", len(late))
            for child in self._switchboard.children:
                child.signal(signal.SIGKILL)
            await asyncio.wait(late)

    # -- one process after another in a place ----------------------------------------------------------

    async def _keep(self, slot: int) -> int:
        """Keep a place filled. Returns the last exit code, 0 for one that was told to end."""
        crashes = failed_starts = 0
        while not self._stop.is_set():
            child = Child(slot, next(self._serials), self._switchboard.take)
            try:
                await child.start(self._hello)
            except OSError as error:  # at a limit of processes, memory or files, which may pass
                _log.error("process %d cannot be started: %s", slot, error)
                if not self._switchboard.everyone:
                    self._give_up(1)
                    return 1
                crashes += 1
                await self._pause(_back_off_s(crashes))
                continue
            self._switchboard.add(child)
            if self._stop.is_set():
                child.signal(signal.SIGTERM)
            code = await child.ended()
            came_up = bool(child.address)
            self._switchboard.remove(child)
            if self._stop.is_set():
                return 0 if code in (0, -signal.SIGTERM) else 1
            failed_starts = 0 if came_up else failed_starts + 1
            crashes = 0 if child.age_s >= _WELL_S else crashes + 1
            if self._is_hopeless(slot, code, failed_starts):
                return code if code > 0 else 1
            wait_s = _back_off_s(crashes)
            _log.error(
                "process %d (pid %d) ended unasked, %s; another one starts in %.1f s",
                slot,
                child.pid,
                _how(code),
                wait_s,
            )
            await self._pause(wait_s)
        return 0

    def _is_hopeless(self, slot: int, code: int, failed_starts: int) -> bool:
        """Whether starting another one makes no sense; everything ends then."""
        first = failed_starts and not self._switchboard.everyone
        if not first and failed_starts < _FAILED_STARTS:
            return False
        _log.error("process %d did not start, %s: giving up", slot, _how(code))
        self._give_up(code if code > 0 else 1)
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _watch_beats(self) -> None:
        """End processes whose loop does not go round: nobody outside can tell which of several it is."""
        loop = asyncio.get_running_loop()
        missed: dict[Child, int] = {}
        while True:
            due = loop.time() + _BEAT_S
            served = [child for child in self._switchboard.children if child.address]
            well = await asyncio.gather(*(child.answers(_BEAT_S) for child in served))
            silent = [child for child, is_well in zip(served, well, strict=True) if not is_well]
            missed = {child: missed.get(child, 0) + 1 for child in silent}
            for child in self._switchboard.children:
                if missed.get(child, 0) >= _MISSED or (not child.address and child.age_s > _START_S):
                    _log.error("process %d (pid %d) hangs and is killed", child.slot, child.pid)
                    child.signal(signal.SIGKILL)
            await asyncio.sleep(due - loop.time())

    def _changed(self) -> None:
        """More or fewer are ready."""
        ready = [child for child in self._switchboard.children if child.ready]
        if len(ready) == self._count and self._ready is not None and not self._stop.is_set():
            announce, self._ready = self._ready, None
            self._switchboard.everyone = True
            announce(self.address)


def for_processes(settings: Settings, address: str, count: int) -> dict[str, Any]:
    """The settings of each process."""
    told: dict[str, Any] = settings.model_dump(mode="json")
    told["bus"]["url"] = settings.bus.url.get_secret_value()  # goes over a socket pair, and nowhere else
    told["server"] |= {
        "address": address,
        "reuse_port": True,
        "max_connections": -(-settings.server.max_connections // count),
    }
    return told


def _back_off_s(crashes: int) -> float:
    return _BACK_OFF_S[min(crashes, len(_BACK_OFF_S)) - 1] if crashes else 0.0


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
