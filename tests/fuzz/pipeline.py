"""The server's pipeline without its sockets: the real detector, the real model, quotas, sessions, the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from affectstream_server.pipeline import Pipeline
from affectstream_server.scoring.router import from_settings
from affectstream_server.settings import load

MOST_S: Final = 20.0
"""Wall clock for one input: what has not ended by then hangs."""


@dataclass(frozen=True)
class Serving:
    """A pipeline and the event loop that it lives on, which stands still between inputs."""

    pipeline: Pipeline
    loop: asyncio.AbstractEventLoop

    def complete(self, work: Coroutine[Any, Any, None]) -> None:
        """Run until it is done. Raises `TimeoutError` where it hangs."""
        self.loop.run_until_complete(asyncio.wait_for(work, MOST_S))


@contextmanager
def serving() -> Iterator[Serving]:
    """A pipeline that waits for nothing but its threads."""
    settings = load(
        environ={},
        overrides={
            "detection": {"tick_ms": 0},
            "server": {"ahead_rate": 0},
            "scoring": {"canary_s": 300},
            "fusion": {"text": "lexicon", "wait_ms": 20},
        },
    )

    async def start() -> Pipeline:
        pipeline = Pipeline(settings, from_settings(settings))
        pipeline.start()
        pipeline.router.start(lambda: None)
        return pipeline

    with asyncio.Runner() as runner:
        pipeline = runner.run(start())
        yield Serving(pipeline, runner.get_loop())
        runner.run(pipeline.close())
