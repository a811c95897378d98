"""How late the event loop is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_EVERY_S: Final = 0.1


async def watch_lag(observe: Callable[[float], None], every_s: float = _EVERY_S) -> None:
    """Tell ``observe`` how many seconds late a task was woken, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        observe(max(0.0, loop.time() - due))
