"""Watch: who may follow a session or a tenant, from where, and how it ends."""

from __future__ import annotations

from collections import Counter
from typing import Final

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import Identity
from affectstream_server.bus import cursor
from affectstream_server.bus.bus import Bus
from affectstream_server.bus.cursor import BadCursor
from affectstream_server.bus.entry import Bounds, BusAway, Position, Subject, now_ms
from affectstream_server.endings import going_away
from affectstream_server.errors import (
    InvalidRequest,
    LimitReached,
    NotServed,
)
from affectstream_server.settings_bus import BusSettings
from affectstream_server.stages.receive import check_session_id
from affectstream_server.watch_errors import (
    RETRY_S,
    bad_cursor,
    bus_away,
    fallen_out,
    no_session,
    session_ended,
)
from affectstream_server.watcher import Watcher

_LATE_MS: Final = 1_000
"""How much later than it was said an event may reach the bus."""


class Watching:
    """Admits watchers. ``bus`` None: nothing is retained."""

    def __init__(self, settings: BusSettings, bus: Bus | None) -> None:
        self._settings = settings
        self._bus = bus
        self._watchers: dict[Watcher, tuple[str, str]] = {}
        self._of: Counter[tuple[str, str]] = Counter()
        self._gone_s = max(settings.owner_s, settings.timeout_ms / 1_000)
        self._draining = False
        self.elsewhere = (0, 0)
        """Watchers in other processes of this server: all, and those of the subject that is counted next."""

    @property
    def watchers(self) -> int:
        """Calls that are open."""
        return len(self._watchers)

    async def open(self, request: pb.WatchAffectRequest, identity: Identity) -> Watcher:
        """Admit a watcher, to be closed. Raises `ServiceError`."""
        bus = self._served()
        if self._draining:
            raise going_away()
        kind = request.WhichOneof("subject")
        if kind is None:
            raise InvalidRequest("subject", "none", "session_id or tenant", reason="SUBJECT_MISSING")
        if kind == "session_id":
            check_session_id(request.session_id, "session_id")
        key = (identity.tenant, request.session_id)
        self._admit(key)
        try:
            subject, position, began = await self._begin(bus, request, identity.tenant)
            if self._draining:
                raise going_away()
        except BaseException as error:
            self._leave(key)
            if isinstance(error, BusAway):
                raise bus_away() from None
            raise
        since_ms = _since_ms(request, position)
        watcher = Watcher(bus, subject, position, began=began, since_ms=since_ms, gone_s=self._gone_s)
        self._watchers[watcher] = key
        return watcher

    def close(self, watcher: Watcher) -> None:
        """The call is over."""
        watcher.close()
        self._leave(self._watchers.pop(watcher))

    async def purge(self, request: pb.PurgeSessionRequest, identity: Identity) -> pb.PurgeSessionResponse:
        """Forget what is retained of a session. Raises `ServiceError`."""
        bus = self._served()
        check_session_id(request.session_id, "session_id")
        try:
            if await bus.find(identity.tenant, request.session_id) is None:
                raise no_session(request.session_id)
            return pb.PurgeSessionResponse(events=await bus.purge(identity.tenant, request.session_id))
        except BusAway:
            raise bus_away() from None

    def drain(self) -> None:
        """End every watch, and admit no other."""
        self._draining = True
        for watcher in tuple(self._watchers):
            watcher.interrupt(going_away())

    def _served(self) -> Bus:
        if self._bus is None:
            raise NotServed("WatchAffect", "the call", instead="this server retains no events")
        return self._bus

    def _admit(self, key: tuple[str, str]) -> None:
        everybody, of_subject = self.elsewhere
        for reason, field, open_now, limit in (
            ("TOO_MANY_WATCHERS", "watchers", self._of.total() + everybody, self._settings.max_watchers),
            (
                "TOO_MANY_WATCHERS_OF_SUBJECT",
                "subject",
                self._of[key] + of_subject,
                LIMITS.watchers_per_session,
            ),
        ):
            if open_now >= limit:
                raise LimitReached(
                    f"{field}: {open_now} watch it already, the most that are served at once",
                    reason=reason,
                    field=field,
                    value=open_now,
                    limit=limit,
                    retry_after_s=RETRY_S,
                )
        self._of[key] += 1

    def _leave(self, key: tuple[str, str]) -> None:
        self._of[key] -= 1
        if not self._of[key]:
            del self._of[key]

    async def _begin(
        self, bus: Bus, request: pb.WatchAffectRequest, tenant: str
    ) -> tuple[Subject, Position, int]:
        """The log, the position after which the watch begins, and when the log did."""
        if request.WhichOneof("subject") == "tenant":
            subject = Subject(tenant)
            bounds = await bus.bounds(subject)
            assert bounds is not None  # noqa: S101 - a tenant's log always is
            return subject, _position(request, subject, bounds), bounds.began
        newest = await bus.find(tenant, request.session_id)
        subject = newest or Subject(tenant, request.session_id)
        if request.WhichOneof("position") == "after":
            subject = Subject(tenant, request.session_id, _incarnation(request.after))
        bounds = await bus.bounds(subject) if newest is not None else None
        if bounds is not None:
            return subject, _position(request, subject, bounds), bounds.began
        bounds = await bus.bounds(newest) if newest is not None and newest != subject else None
        if newest is None or bounds is None:
            raise no_session(request.session_id)
        raise fallen_out(newest, bounds.floor)


def _position(request: pb.WatchAffectRequest, subject: Subject, bounds: Bounds) -> Position:
    if request.WhichOneof("position") == "after":
        position = (
            _tenant_position(request.after)
            if subject.is_tenant
            else cursor.session_position(request.after)[1]
        )
        if position < bounds.floor:
            raise fallen_out(subject, bounds.floor)
        return position
    if request.start == pb.WATCH_START_EARLIEST:
        return bounds.floor
    if request.start not in (pb.WATCH_START_UNSPECIFIED, pb.WATCH_START_LATEST):
        raise InvalidRequest("start", request.start, "LATEST or EARLIEST")
    if bounds.ended:
        raise session_ended(subject.session_id)
    return bounds.end


def _since_ms(request: pb.WatchAffectRequest, position: Position) -> int:
    """What was said before that is no news, should a bus that lost its memory get it again."""
    if request.WhichOneof("position") == "after":
        return position[0] - _LATE_MS
    return 0 if request.start == pb.WATCH_START_EARLIEST else now_ms()


def _incarnation(data: bytes) -> bytes:
    try:
        return cursor.session_position(data)[0]
    except BadCursor:
        raise bad_cursor("one of this session's events") from None


def _tenant_position(data: bytes) -> Position:
    try:
        return cursor.tenant_position(data)
    except BadCursor:
        raise bad_cursor("one that came with a tenant's watch") from None
