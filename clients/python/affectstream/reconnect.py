"""When a lost call is tried again, and how."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Final

from affectstream import errors
from affectstream.config import StreamConfig
from affectstream.enums import name_of
from affectstream.v1 import affect_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How a stream outlives its calls. Durations in seconds.

    The n-th attempt waits a random time between 0 and `first_delay_s` doubled n - 1 times, at most
    `max_delay_s`; where the server says when to come back, that long in addition.

    Raises:
        ValueError: a value is out of range; the message names it.
    """

    ring_s: float = 10.0
    """Audio that is kept to be sent again, 1..60. Of one channel of LINEAR16 at 16 kHz, 10 s are 320 kB."""
    first_delay_s: float = 0.1
    """Above 0."""
    max_delay_s: float = 5.0
    """At least `first_delay_s`."""
    give_up_after_s: float = 30.0
    """Without a call for so long the stream ends with `GaveUp`. Above 0; `math.inf`: never."""
    attempts: int | None = None
    """The same as a number of attempts in a row that lead no further, from 1; None: any."""
    new_session: bool = True
    """Begin a new session where the server has the old one no more. False: the stream ends with the
    error that says so."""
    wait_when_full: bool = False
    """For recordings: `send` waits rather than let audio fall out of the ring that no server has
    heard. False, for live audio: `send` does not wait for a line that is lost, and the oldest audio goes."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            low, high = _LIMITS.get(name, (0.0, math.inf))
            if name == "max_delay_s":
                low = self.first_delay_s
            if value is not None and (not low <= value <= high or (value == 0 and name in _ABOVE_0)):
                limit = f"{low:g}..{high:g}" if math.isfinite(high) else f"at least {low:g}"
                limit = "above 0" if name in _ABOVE_0 else limit
                raise ValueError(f"Reconnect.{name} is {value}, the limit is {limit}")

    @property
    def stall_s(self) -> float:
        """A server that leaves audio unacknowledged for so long does not hear it: half of the ring."""
        return self.ring_s / 2

    def request(self, config: StreamConfig) -> pb.SessionConfig:
        """The first message of a stream that is to outlive its calls.

        Raises:
            ValueError: compressed audio, or progress events too seldom for the ring.
        """
        if config.audio.frame_bytes is None:
            raise ValueError(
                f"reconnect needs PCM (LINEAR16, FLOAT32, MULAW, ALAW): of {name_of(config.audio.encoding)} "
                "the positions are not known"
            )
        longest_ms = round(self.ring_s * 1_000) // 5
        request = config.to_proto()
        request.resumable = True
        if not request.outputs.HasField("progress_interval_ms"):
            request.outputs.progress_interval_ms = min(_PROGRESS_MS, longest_ms)
        elif request.outputs.progress_interval_ms > longest_ms:
            raise ValueError(
                f"outputs.progress_interval_ms is {request.outputs.progress_interval_ms}, the limit with "
                f"Reconnect.ring_s {self.ring_s:g} is {longest_ms}"
            )
        return request


_PROGRESS_MS: Final = 1_000
_LIMITS: Final = {"ring_s": (1.0, 60.0), "attempts": (1.0, math.inf)}
_ABOVE_0: Final = frozenset({"first_delay_s", "give_up_after_s"})


class Remedy(Enum):
    """What helps after a call has ended, or an attempt has failed."""

    RESUME = auto()
    RESUME_NOW = auto()
    """The server asked for a new call: there is nothing to wait for."""
    NEW_SESSION = auto()
    """The server has the session no more."""
    STOP = auto()
    """Nothing: trying again would fail again, or take the session from another stream."""


_BY_REASON: Final = {
    "STREAM_AGE": Remedy.RESUME_NOW,
    "SESSION_NOT_FOUND": Remedy.NEW_SESSION,
    "DRAINING": Remedy.NEW_SESSION,
    "SESSION_AGE": Remedy.NEW_SESSION,
    "INTERNAL_FAULT": Remedy.RESUME,
    "SUPERSEDED": Remedy.STOP,
    "RESUME_SUPERSEDED": Remedy.STOP,
}
# Without a reason of the server's own, a proxy or the transport has ended the call.
_TRANSPORT: Final = (errors.Cancelled, errors.ServerError, errors.StreamClosed)


def remedy(cause: errors.AffectStreamError) -> Remedy:
    """What helps against `cause`."""
    if cause.reason in _BY_REASON:
        return _BY_REASON[cause.reason]
    if isinstance(cause, errors.ResourceExhausted):
        return Remedy.RESUME if cause.retry_after_s is not None else Remedy.STOP
    if cause.retryable or (not cause.reason and isinstance(cause, _TRANSPORT)):
        return Remedy.RESUME
    return Remedy.STOP


class Backoff:
    """Delays of the attempts since something went well.

    Args:
        policy: Its delays and limits.
        chance: A number in 0..1, anew with each call.
    """

    def __init__(self, policy: Reconnect, chance: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._chance = chance
        self._since_s: float | None = None
        self.attempts = 0
        """Those that were given a delay."""

    def went_well(self) -> None:
        """The last attempt led further: count anew."""
        self._since_s, self.attempts = None, 0

    def next_delay_s(self, now_s: float, cause: errors.AffectStreamError) -> float | None:
        """How long to wait before the next attempt; None: give up.

        Args:
            now_s: Any clock that does not jump.
            cause: Why there has to be another one.
        """
        policy = self._policy
        if self._since_s is None:
            self._since_s = now_s
        if policy.attempts is not None and self.attempts >= policy.attempts:
            return None
        delay_s = 0.0
        if remedy(cause) is not Remedy.RESUME_NOW or self.attempts:
            doubled = math.ldexp(policy.first_delay_s, min(self.attempts, 60))
            delay_s = self._chance() * min(policy.max_delay_s, doubled) + (cause.retry_after_s or 0.0)
        if now_s + delay_s > self._since_s + policy.give_up_after_s:
            return None
        self.attempts += 1
        return delay_s
