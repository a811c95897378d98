"""Calls in place of those that were lost, until one stands or there is no hope."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from affectstream import errors
from affectstream.config import StreamConfig
from affectstream.connection import Connection
from affectstream.events import Event, SessionStarted
from affectstream.link import Link
from affectstream.reconnect import Backoff, Reconnect, Remedy, remedy
from affectstream.session import Session
from affectstream.states import Reconnecting, SessionLost, State
from affectstream.timeouts import Timeouts
from affectstream.v1 import affect_pb2 as pb

DRAINING: Final = "DRAINING"
"""Reason of a server that is about to go."""
_SESSION_ID_CHARACTERS: Final = 60
"""Of a caller's session id, which may have 64, where a number is added."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A call that stands."""

    link: Link
    started: SessionStarted
    attempts: int
    outage_s: float


class Dialer:
    """Makes the calls of one stream.

    Args:
        connection: Where they go.
        config: What is asked for; its audio must be PCM.
        timeouts: Limits of each call.
        policy: When to try again.
        chance: See `Backoff`.

    Raises:
        ValueError: compressed audio, or progress events too seldom for the ring.
    """

    def __init__(
        self,
        connection: Connection,
        config: StreamConfig,
        timeouts: Timeouts,
        policy: Reconnect,
        *,
        chance: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._config = config
        self._request = policy.request(config)
        self._timeouts = timeouts
        self._policy = policy
        self._backoff = Backoff(policy, chance)
        self._sessions = 0
        self._cookies = ""

    async def first(self) -> tuple[Link, SessionStarted]:
        """The first call, tried once; where a server answers that it is about to go, as often as there is
        time for in `Timeouts.session_start_s`. Raises what `Link.open` raises.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._timeouts.session_start_s
        while True:
            channel = self._connection.channel
            try:
                opened = await self._open(None)
            except errors.ServerUnavailable as refused:
                delay_s = self._backoff.next_delay_s(loop.time(), refused)
                if refused.reason != DRAINING or delay_s is None or loop.time() + delay_s > until_s:
                    raise
                await self._connection.renew(channel, doubtful=True)
                await asyncio.sleep(delay_s)
            else:
                self._backoff.went_well()
                return opened

    async def again(
        self, link: Link, cause: errors.AffectStreamError, session: Session, say: Callable[[State], None]
    ) -> Answered:
        """Another call after `link` was lost: for the same session, or a new one where it is gone.

        Args:
            link: The call that was lost.
            cause: Why.
            session: Its session.
            say: Told of each attempt, and of a lost session.

        Raises:
            GaveUp: the policy's limit is reached.
            AffectStreamError: there is nothing that helps.
        """
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        session_id = session.started.session_id
        attempts, goes_on = 0, True
        channel = link.channel
        while True:
            await self._connection.renew(channel, doubtful=_is_doubtful(cause))
            what = remedy(cause)
            if what is Remedy.STOP or not self._connection.is_open:
                raise cause
            if goes_on and (what is Remedy.NEW_SESSION or not session.is_resumable):
                goes_on = False
                say(SessionLost(session_id=session_id, cause=cause, unfinished=session.unfinished))
                if not self._policy.new_session:
                    raise cause
            delay_s = self._backoff.next_delay_s(loop.time(), cause)
            if delay_s is None:
                raise _gave_up(self._backoff.attempts, loop.time() - since_s, cause)
            attempts += 1
            say(Reconnecting(session_id=session_id, attempt=attempts, cause=cause, next_try_s=delay_s))
            await asyncio.sleep(delay_s)
            channel = self._connection.channel
            try:
                answered, started = await self._open(session if goes_on else None)
            except errors.AffectStreamError as failure:
                cause = failure
            else:
                return Answered(answered, started, attempts, loop.time() - since_s)

    def went_well(self) -> None:
        """A call led further than those before."""
        self._backoff.went_well()

    async def _open(self, session: Session | None) -> tuple[Link, SessionStarted]:
        request = pb.SessionConfig()
        request.CopyFrom(self._request)
        if session is not None:
            request.resume.CopyFrom(session.resume())
        elif self._sessions and request.session_id:
            # Ids of utterances hold that of their session, and must not come twice.
            request.session_id = f"{request.session_id[:_SESSION_ID_CHARACTERS]}.{self._sessions + 1}"
        cookies = "" if session is None else self._cookies
        link = Link(self._connection, request, self._config, self._timeouts, cookies)
        started = await link.open(_unheard)
        self._sessions += not started.resumed
        self._cookies = link.cookies
        return link, started


def _unheard(event: Event) -> None:
    """Whether it is new is known later."""


def _is_doubtful(cause: errors.AffectStreamError) -> bool:
    """The peer is silent, not there, or about to go: another connection may find another."""
    silent = isinstance(cause, errors.TimedOut | errors.ConnectError)
    return silent or cause.reason == DRAINING


def _gave_up(attempts: int, seconds: float, cause: errors.AffectStreamError) -> errors.GaveUp:
    return errors.GaveUp(
        f"gave up after {attempts} attempts in {seconds:.0f} s: {cause}",
        reason=cause.reason,
        field=cause.field,
        value=cause.value,
        limit=cause.limit,
        retry_after_s=cause.retry_after_s,
    )
