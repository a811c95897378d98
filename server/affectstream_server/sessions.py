"""The sessions of this process: those that have a stream, and for a while those that lost theirs."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import Identity
from affectstream_server.bus.bus import Bus
from affectstream_server.endings import IDLE_SHARE, going_away
from affectstream_server.errors import (
    AlreadyExists,
    InternalFault,
    InvalidRequest,
    LimitReached,
    ServiceError,
)
from affectstream_server.listening import Detection
from affectstream_server.observer import NOBODY, Observer
from affectstream_server.resume import NOBODYS, ResumeKey, check_same, no_session
from affectstream_server.scoring.router import Router
from affectstream_server.session import Session
from affectstream_server.settings import Settings
from affectstream_server.stages.fuse import TextFusion
from affectstream_server.stages.receive import read_format
from affectstream_server.stream import Stream

_log = logging.getLogger(__name__)

_FUTURE_S: Final = 10.0
"""How much later than the clock allows a stream may say that its audio begins: clients send ahead."""


class Sessions:
    """Admits streams and gives each its session.

    ``release`` is called for each session that is over, once more where it was kept for another stream.
    """

    def __init__(
        self,
        settings: Settings,
        router: Router,
        detection: Detection,
        *,
        release: Callable[[Session], None],
        bus: Bus | None = None,
        observer: Observer = NOBODY,
        fusion: TextFusion | None = None,
    ) -> None:
        self._settings = settings
        self._router = router
        self._detection = detection
        self._release = release
        self._bus = bus
        self._observer = observer
        self._fusion = fusion
        self._drained_at: float | None = None
        self._unborn_until = 0.0
        self._streams: set[Stream] = set()
        self._by_id: dict[tuple[str, str], Session] = {}
        self._lost: dict[Session, float] = {}
        self.elsewhere = 0
        """Calls that are open in other processes of this server, as far as it matters to the next one."""
        self.token_mark = b""
        """Ends resume tokens: says in which of several processes the session is."""
        self.closed: Callable[[str, str], None] | None = None
        """Told of each session that is not here any more: its tenant and its id."""

    @property
    def streams(self) -> int:
        """Calls that are open."""
        return len(self._streams)

    @property
    def lost(self) -> int:
        """Sessions that may be continued and have no stream."""
        return len(self._lost)

    @property
    def draining(self) -> bool:
        """`drain` was called."""
        return self._drained_at is not None

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        """Every session, whether it has a stream or lost it."""
        return iter(tuple(self._by_id.values()))

    def open_stream(self, identity: Identity) -> Stream:
        """Admit a call. Raises `Unavailable` while draining, `LimitReached` when full."""
        if self.draining:
            raise going_away()
        limit = self._settings.server.max_streams
        if (open_now := len(self._streams) + self.elsewhere) >= limit:
            raise LimitReached(
                f"{limit} streams are open, the most that are served at once",
                reason="TOO_MANY_STREAMS",
                field="streams",
                value=open_now,
                limit=limit,
                retry_after_s=1.0,
            )
        stream = Stream(self, identity)
        self._streams.add(stream)
        return stream

    def begin(self, config: pb.SessionConfig, stream: Stream) -> Session:
        """Start or continue a session. Raises `ServiceError`; nothing has changed then."""
        if config.HasField("resume"):
            return self._continue(config, stream)
        self.check_free(stream.identity.tenant, config.session_id)
        before = self._by_id.get((stream.identity.tenant, config.session_id))
        session = Session(
            self._settings,
            self._router.open(),
            self._detection,
            stream,
            bus=self._bus,
            observer=self._observer,
            fusion=self._fusion,
        )
        session.resume_key = ResumeKey(self.token_mark)
        session.start(config)
        if before is not None and before.stream is None:
            self._close(before)
        # One that is over and still has its call goes with that call: its last events may not be read yet.
        self._by_id[session.identity.tenant, session.session_id] = session
        if len(self._by_id) > self._settings.server.max_streams and self._lost:
            self._close(self._oldest_of_many())
        if self._drained_at is not None:
            session.say_farewell(pb.CLOSE_REASON_DRAIN, self._drained_at - time.monotonic())
        return session

    def has(self, tenant: str, session_id: str) -> bool:
        """Whether the session is here, be it over."""
        return (tenant, session_id) in self._by_id

    def check_free(self, tenant: str, session_id: str) -> None:
        """Raises `AlreadyExists` while a session of this id is open."""
        before = self._by_id.get((tenant, session_id))
        if before is not None and not before.over:
            until = self._lost.get(before)
            raise taken(session_id, None if until is None else max(0.0, until - time.monotonic()))

    def close_stream(self, stream: Stream) -> None:
        """The call is over: its session is kept for a while where it may be continued."""
        self._streams.discard(stream)
        session = stream.session
        if session is None or not stream.holds_session:
            return
        known = self._by_id.get((session.identity.tenant, session.session_id)) is session
        if not known or not session.resumable or session.failure is not None or self.draining:
            self._close(session)
            return
        session.lose_stream()
        if session.over:
            self._release(session)
        self._lost[session] = time.monotonic() + self._settings.server.resume_s

    def check_clock(self, now: float) -> None:
        """Let go of sessions that nobody continued. ``now`` is `time.monotonic`."""
        for session, until in tuple(self._lost.items()):
            if now >= until or session.failure is not None:
                self._close(session)
        if self.draining and now >= self._unborn_until:
            for stream in tuple(self._streams):
                if stream.session is None:
                    stream.interrupt(going_away())

    def drain(self, grace_s: float) -> None:
        """Admit nothing, and let open utterances end within the grace."""
        now = time.monotonic()
        self._drained_at = now + grace_s
        self._unborn_until = now + grace_s * IDLE_SHARE
        self.close_lost()
        for session in self:
            try:
                session.say_farewell(pb.CLOSE_REASON_DRAIN, grace_s)
            except Exception:  # noqa: BLE001 - one session's fault must not keep the others from their end
                _log.exception("session %s failed", session.told_id)
                session.interrupt(InternalFault())

    def close_lost(self) -> None:
        """Nobody can continue them any more."""
        for session in tuple(self._lost):
            self._close(session, pb.CLOSE_REASON_DRAIN)

    def _continue(self, config: pb.SessionConfig, stream: Stream) -> Session:
        resume = config.resume
        session = self._by_id.get((stream.identity.tenant, resume.session_id))
        if session is None or not session.resumable or session.failure is not None:
            NOBODYS.check(resume.resume_token)
            raise no_session()
        session.resume_key.check(resume.resume_token)
        check_same(config, session.asked, session.session_id)
        audio = read_format(config.audio, "config.audio")
        self._check_position(session, resume, audio.sample_rate_hz)
        if resume.HasField("last_sequence") and resume.last_sequence >= session.events.next_sequence:
            raise InvalidRequest(
                "config.resume.last_sequence", resume.last_sequence, f"below {session.events.next_sequence}"
            )
        self._lost.pop(session, None)
        session.go_on(stream, audio, resume)
        return session

    def _check_position(self, session: Session, resume: pb.Resume, rate_hz: int) -> None:
        silent_s = time.monotonic() - session.hearing.heard_at
        heard_s = session.hearing.frames / session.hearing.format.sample_rate_hz
        latest = round((heard_s + silent_s + _FUTURE_S) * rate_hz)
        if not 0 <= resume.audio_offset_samples <= latest:
            raise InvalidRequest(
                "config.resume.audio_offset_samples",
                resume.audio_offset_samples,
                f"0 to {latest}: what was heard, and the time since",
                reason="OFFSET_OUT_OF_RANGE",
            )

    def _oldest_of_many(self) -> Session:
        """The session that waited longest of the tenant with most that wait: nobody else's makes place."""
        (tenant, _), *_ = Counter(session.identity.tenant for session in self._lost).most_common(1)
        return next(session for session in self._lost if session.identity.tenant == tenant)

    def _close(self, session: Session, reason: pb.CloseReason.ValueType = pb.CLOSE_REASON_ABANDONED) -> None:
        self._lost.pop(session, None)
        name = session.identity.tenant, session.session_id
        known = self._by_id.get(name) is session
        if known:
            del self._by_id[name]
        session.abandon(reason)
        self._release(session)
        if known and self.closed is not None:
            self.closed(*name)


def taken(session_id: str, retry_after_s: float | None) -> ServiceError:
    """A session of this id is open, and waits no longer than that for another stream; None: it has one."""
    return AlreadyExists(
        "config.session_id: a session of this id is open; continue it, wait for its end, or take another",
        reason="SESSION_EXISTS",
        field="config.session_id",
        value=session_id,
        limit="one open session of each id",
        retry_after_s=retry_after_s,
    )
