"""Says that this process lives, forgets what is too old, and closes sessions whose process is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from affectstream_server.bus.entry import Position, Subject, now_ms
from affectstream_server.bus.last_word import last_word
from affectstream_server.bus.log import Logs
from affectstream_server.bus.redis_entry import placed_of
from affectstream_server.bus.redis_keys import member, subject_of
from affectstream_server.bus.redis_publisher import Publisher
from affectstream_server.bus.redis_store import AWAY, Batch, Store

_log = logging.getLogger(__name__)

_SHARE: Final = 3
"""Signs of life within the time after which a silent process is taken for gone."""


class Keeper:
    """One task, at least once a second."""

    def __init__(self, store: Store, logs: Logs, publisher: Publisher, *, owner: str, owner_s: float) -> None:
        self._store = store
        self._logs = logs
        self._publisher = publisher
        self._owner = owner
        self._owner_s = owner_s
        self._seen = False
        self._silent: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, *, clean: bool) -> None:
        """Stop. ``clean``: no session is left to be closed by others."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        keys = self._store.keys
        if clean and self._seen:
            try:
                await self._store.redis.delete(keys.alive(self._owner))
                await self._store.redis.srem(keys.owners, self._owner)
            except AWAY:
                return

    async def _run(self) -> None:
        while True:
            try:
                try:
                    await self._trim()  # first: where Redis is full, only this makes room
                finally:
                    await self._live()
                await self._close_orphans()
            except AWAY:
                self._silent.clear()  # nobody's silence means anything while we do not hear
            except Exception:  # noqa: BLE001 - signs of life must go on
                _log.exception("the bus is not kept in order")
            await asyncio.sleep(min(self._owner_s / _SHARE, 1.0))

    async def _trim(self) -> None:
        if trimmed := self._prune():
            await self._store.trim(trimmed)

    def _prune(self) -> list[tuple[Subject, Position]]:
        changed = self._logs.prune(now_ms())
        for log in changed:
            if self._logs.get(log.subject) is None:
                self._publisher.forget(log.subject)
        return [(log.subject, log.floor) for log in changed]

    async def _live(self) -> None:
        keys = self._store.keys
        pipe = self._store.redis.pipeline(transaction=False)
        pipe.set(keys.alive(self._owner), b"", px=round(self._owner_s * 1_000), get=True)
        pipe.sadd(keys.owners, self._owner)
        before, _ = await pipe.execute()
        if before is None and self._seen:
            self._publisher.doubt()
        self._seen = True

    async def _close_orphans(self) -> None:
        keys, redis = self._store.keys, self._store.redis
        owners = [owner.decode() for owner in await redis.smembers(keys.owners)]
        others = [owner for owner in owners if owner != self._owner]
        alive = await redis.mget([keys.alive(owner) for owner in others]) if others else []
        silent = {owner for owner, sign in zip(others, alive, strict=True) if sign is None}
        now = time.monotonic()
        self._silent = {owner: self._silent.get(owner, now) for owner in silent}
        for owner, since in tuple(self._silent.items()):
            if now - since < self._owner_s:
                continue
            sessions = [subject_of(found) for found in await redis.smembers(keys.open(owner))]
            for subject in sessions:
                await self._close_orphan(owner, subject)
            if not await redis.scard(keys.open(owner)):
                await redis.srem(keys.owners, owner)
            _log.warning("a process is gone; %d sessions of it were closed for their watchers", len(sessions))

    async def _close_orphan(self, owner: str, subject: Subject) -> None:
        """Say a session's last word for a process that cannot."""
        keys, redis = self._store.keys, self._store.redis
        rows = await redis.xrange(keys.log(subject))
        entries = [placed_of(subject, row)[1] for row in rows]
        if not entries or entries[-1].is_last:
            await redis.srem(keys.open(owner), member(subject))
            return
        batch = Batch(subject, [last_word(subject, entries, entries[-1].position)], from_start=False, acked=0)
        await self._store.publish(owner, [batch])
