"""Inference servers behind the measured one, each started once for all runs that ask it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.machine import Cores, on_core
from bench.recorded import MODEL
from bench.scenario import Scenario
from bench.server import Server
from tools.triton.server import Triton


class Backends:
    """An async context; inside, `settings` says what a scenario's server is told."""

    def __init__(self, cores: Cores, log: Path) -> None:
        """``log`` is what a real Triton writes."""
        self._cores = cores
        self._log = log
        self._stack = AsyncExitStack()
        self._addresses: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def settings(self, scenario: Scenario) -> dict[str, str]:
        """Environment variables of a scenario's server. Raises `ServerFailed` or `TritonFailed`."""
        told = scenario.settings
        if scenario.kind in ("recorded", "triton"):
            told["AFFECTSTREAM_TRITON__ADDRESS"] = await self._address(scenario.kind)
            told["AFFECTSTREAM_TRITON__MODEL"] = MODEL
        return told

    async def _address(self, kind: str) -> str:
        if kind not in self._addresses:
            start = self._recorded if kind == "recorded" else self._real
            self._addresses[kind] = await start()
        return self._addresses[kind]

    async def _recorded(self) -> str:
        server = await self._stack.enter_async_context(Server("inference", self._cores.driver))
        return server.address

    async def _real(self) -> str:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        triton = Triton(self._log, models=(MODEL,))
        with on_core(self._cores.driver):
            await asyncio.to_thread(triton.start)
        self._stack.callback(triton.stop)
        return triton.address
