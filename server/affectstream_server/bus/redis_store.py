"""What is asked of Redis, each with a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from affectstream_server.bus.entry import Bounds, Entry, FallenOut, Placed, Position, Subject, now_ms
from affectstream_server.bus.redis_entry import id_of, marks_of, placed_of, position_of
from affectstream_server.bus.redis_keys import Keys, member
from affectstream_server.settings_bus import BusSettings

AWAY: Final = (RedisError, OSError, TimeoutError)
"""What it raises where Redis cannot be reached or does not answer as it should."""
_CONNECTIONS: Final = 8
_SCAN: Final = 500
"""Events of a tenant's log that are looked at in one go."""
_LAST_NUMBER: Final = 2**64 - 1
_SCRIPT: Final = files("affectstream_server.bus").joinpath("publish.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one session, in order and without holes."""

    subject: Subject
    entries: Sequence[Entry]
    from_start: bool
    """The first is the oldest that its owner has."""
    acked: int
    """Events up to this sequence were in Redis before."""
    anew: bool = False
    """They take the place of what Redis has."""
    tenant_from: int = 0
    """Events before this sequence do not belong into the tenant's log again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch: ``ok``, ``behind`` or ``ended``, see publish.lua."""

    word: str
    last: int
    """The newest sequence that Redis has."""


class Store:
    """One process's connections. Every method raises one of `AWAY`."""

    def __init__(self, settings: BusSettings) -> None:
        timeout_s = settings.timeout_ms / 1_000
        pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
            settings.url.get_secret_value(),
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self.redis: Any = Redis.from_pool(pool)  # its types leave open whether bytes or text comes back
        self.keys = Keys(settings.prefix)
        self._settings = settings
        self._age_ms = round(settings.retention_s * 1_000)
        self._digest = ""

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()

    # -- write -------------------------------------------------------------------------------------

    async def publish(self, owner: str, batches: Sequence[Batch]) -> list[Answer]:
        """Add events, in one round trip."""
        if not self._digest:
            self._digest = await self.redis.script_load(_SCRIPT)
        pipe = self.redis.pipeline(transaction=False)
        for batch in batches:
            pipe.evalsha(self._digest, 6, *self._keys_of(batch.subject, owner), *self._arguments(batch))
        try:
            rows = await pipe.execute()
        except NoScriptError:
            self._digest = ""
            raise
        return [Answer(word.decode(), int(last)) for word, last in rows]

    def _keys_of(self, subject: Subject, owner: str) -> tuple[str, ...]:
        keys = self.keys
        return (
            keys.log(subject),
            keys.ids(subject.tenant, subject.session_id),
            keys.log(Subject(subject.tenant)),
            keys.trimmed(subject.tenant),
            keys.began(subject.tenant),
            keys.open(owner),
        )

    def _arguments(self, batch: Batch) -> list[str | bytes | int]:
        found: list[str | bytes | int] = [
            batch.subject.incarnation.hex(),
            member(batch.subject),
            self._age_ms,
            self._settings.retention_events,
            self._settings.tenant_events,
            2 if batch.anew else int(batch.from_start),
            batch.tenant_from,
        ]
        for entry in batch.entries:
            marks = marks_of(entry, again=entry.sequence <= batch.acked)
            found += [entry.epoch, entry.sequence, marks, entry.data]
        return found

    async def trim(self, floors: Sequence[tuple[Subject, Position]]) -> None:
        """Forget what stands at or before these places, and what is too old in their tenants' logs."""
        pipe = self.redis.pipeline(transaction=False)
        for tenant in {subject.tenant for subject, _ in floors}:
            oldest = f"{now_ms() - self._age_ms}-0"
            pipe.xtrim(self.keys.log(Subject(tenant)), minid=oldest, approximate=False)
        for subject, (epoch, sequence) in floors:
            pipe.xtrim(self.keys.log(subject), minid=id_of((epoch, sequence + 1)), approximate=False)
        await pipe.execute()

    async def empty(self, subject: Subject, *, ended: bool) -> int:
        """Forget a session's events, and where it has ended the session. Returns how many they were."""
        log = self.keys.log(subject)
        count = int(await self.redis.xlen(log))
        if ended:
            await self.redis.delete(log)
            await self.redis.zrem(
                self.keys.ids(subject.tenant, subject.session_id), subject.incarnation.hex()
            )
        else:
            await self.redis.xtrim(log, maxlen=0, approximate=False)
        await self.redis.publish(log, b"")
        return count

    async def remove(self, tenant: str, incarnations: set[bytes], *, only_values: bool) -> None:
        """Take sessions' events out of their tenant's log."""
        subject = Subject(tenant)
        log, after = self.keys.log(subject), "-"
        while rows := await self.redis.xrange(log, min=after, count=_SCAN):
            found = [placed_of(subject, row) for row in rows]
            gone = [
                id_of(at)
                for at, entry in found
                if entry.incarnation in incarnations and (entry.has_values or not only_values)
            ]
            if gone:
                await self.redis.xdel(log, *gone)
            after = f"({id_of(found[-1][0])}"
        await self.redis.publish(log, b"")

    # -- read --------------------------------------------------------------------------------------

    async def newest(self, subjects: Sequence[Subject]) -> list[int]:
        """The newest sequence that Redis has had from each session's own process; 0: none."""
        pipe = self.redis.pipeline(transaction=False)
        for subject in subjects:
            pipe.xinfo_stream(self.keys.log(subject))
        rows = await pipe.execute(raise_on_error=False)
        return [_newest(subject, row) for subject, row in zip(subjects, rows, strict=True)]

    async def incarnations(self, tenant: str, session_id: str) -> list[Subject]:
        """The sessions that had an id, the newest last."""
        found = await self.redis.zrange(self.keys.ids(tenant, session_id), 0, -1)
        return [Subject(tenant, session_id, bytes.fromhex(one.decode())) for one in found]

    async def bounds(self, subject: Subject) -> Bounds | None:
        """What of a log is there; None: nothing is known of it."""
        if subject.is_tenant:
            return await self._tenants_bounds(subject)
        try:
            info = await self.redis.xinfo_stream(self.keys.log(subject))
        except ResponseError:
            return None
        end = _last_id(info)
        if not info["first-entry"]:
            return Bounds(end, end)
        epoch, sequence = position_of(info["first-entry"][0])
        _, newest = placed_of(subject, info["last-entry"])
        return Bounds((epoch, sequence - 1), end, ended=newest.is_last)

    async def _tenants_bounds(self, subject: Subject) -> Bounds:
        pipe = self.redis.pipeline(transaction=False)
        pipe.time()
        pipe.mget(self.keys.trimmed(subject.tenant), self.keys.began(subject.tenant))
        pipe.xrevrange(self.keys.log(subject), count=1)
        (seconds, micros), marks, newest = await pipe.execute()
        now_ms = seconds * 1_000 + micros // 1_000
        floors = [position_of(mark) for mark in marks if mark is not None]
        end = position_of(newest[0][0]) if newest else (now_ms - 1, _LAST_NUMBER)
        floor = max([(now_ms - self._age_ms, 0), *floors])
        return Bounds(floor, end, began=int(marks[1] or 0))

    async def read(self, subject: Subject, after: Position, most: int) -> list[Placed]:
        """The next events. Raises `FallenOut` too."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.xrange(self.keys.log(subject), min=f"({id_of(after)}", count=most)
        if subject.is_tenant:
            pipe.get(self.keys.trimmed(subject.tenant))
        rows, *marks = await pipe.execute()
        placed = [placed_of(subject, row) for row in rows]
        if subject.is_tenant:
            floor = position_of(marks[0]) if marks[0] else after
            if floor > after:
                raise FallenOut(floor)
        elif placed and placed[0][1].sequence != after[1] + 1:
            epoch, sequence = placed[0][0]
            raise FallenOut((epoch, sequence - 1))
        return placed


def _last_id(info: dict[str, Any]) -> Position:
    return position_of(info["last-generated-id"])


def _newest(subject: Subject, info: dict[str, Any] | Exception) -> int:
    if isinstance(info, ResponseError):  # no such key
        return 0
    if isinstance(info, Exception):
        raise info
    sequence = _last_id(info)[1]
    last = info["last-entry"]
    return sequence - 1 if last and placed_of(subject, last)[1].by_another else sequence
