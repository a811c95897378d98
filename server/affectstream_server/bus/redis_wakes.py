"""Tells followers that there is news in Redis: one connection that listens, for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.client import PubSub

from affectstream_server.bus.redis_store import AWAY, Store

_log = logging.getLogger(__name__)

_SILENT_S: Final = 5.0
"""A connection on which nothing came for this long is asked for a sign of life."""
_AWAY_S: Final = 0.2

Told = Callable[[bytes | None], None]


class Wakes:
    """``told`` of a channel is called with each message; with None when there may have been some."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: dict[str, Told] = {}
        self._pubsub: PubSub | None = None
        self._changing: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self, channel: str, told: Told) -> None:
        """Begin to listen, to this channel for as long as it goes on."""
        self._told[channel] = told
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop."""
        tasks = [task for task in (self._task, *self._changing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, channel: str, told: Told) -> None:
        """Listen to a channel. ``told`` is called as soon as nothing is missed."""
        self._told[channel] = told
        self._change(channel)

    def remove(self, channel: str) -> None:
        """Listen no more."""
        self._told.pop(channel, None)
        self._change(channel)

    def _change(self, channel: str) -> None:
        if self._pubsub is not None:
            task = asyncio.get_running_loop().create_task(self._tell(self._pubsub, channel))
            self._changing.add(task)
            task.add_done_callback(self._changing.discard)

    async def _tell(self, pubsub: PubSub, channel: str) -> None:
        with suppress(*AWAY):  # the task that listens finds out, and begins anew
            if channel in self._told:
                await pubsub.subscribe(channel)
            else:
                await pubsub.unsubscribe(channel)

    async def _run(self) -> None:
        while True:
            pubsub = self._store.redis.pubsub()
            try:
                channels = set(self._told)
                await pubsub.subscribe(*channels)
                self._pubsub = pubsub
                for channel in channels ^ set(self._told):  # what came and went in the meantime
                    self._change(channel)
                await self._listen(pubsub)
            except AWAY:
                pass
            except Exception:  # noqa: BLE001 - followers must be told of what comes next
                _log.exception("the bus cannot be listened to")
            finally:
                self._pubsub = None
                with suppress(*AWAY):
                    await pubsub.aclose()
            for told in tuple(self._told.values()):
                told(None)
            await asyncio.sleep(_AWAY_S)

    async def _listen(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message: dict[str, Any] | None = await pubsub.get_message(timeout=_SILENT_S)
            if message is None:
                if asked:
                    raise TimeoutError
                asked = True
                await pubsub.ping()
                continue
            asked = False
            told = self._told.get(message["channel"].decode()) if message["channel"] else None
            if told is None:
                continue
            if message["type"] == "message":
                told(message["data"])
            elif message["type"] == "subscribe":
                told(None)
