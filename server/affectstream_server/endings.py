"""How streams and sessions end: when, once it was announced; why, as events name it; with what errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import ServiceError, Unavailable

_SPEECH_SHARE: Final = 0.9
"""Of the grace before an end, for an utterance that does not end: its final is due within the rest."""
IDLE_SHARE: Final = 0.1
"""Of the grace before an end, for streams in which nobody speaks."""
_CLOSE_REASONS: Final = {
    "DRAINING": pb.CLOSE_REASON_DRAIN,
    "STREAM_AGE": pb.CLOSE_REASON_STREAM_AGE,
    "SESSION_AGE": pb.CLOSE_REASON_SESSION_AGE,
    "SLOW_READER": pb.CLOSE_REASON_SLOW_READER,
}


@dataclass(frozen=True, slots=True)
class Farewell:
    """The stream ends at ``deadline``, or from ``idle_at`` on when nothing is under way."""

    reason: pb.CloseReason.ValueType
    deadline: float
    idle_at: float

    @classmethod
    def within(cls, grace_s: float, reason: pb.CloseReason.ValueType, now: float) -> Farewell:
        """An end in ``grace_s`` from ``now``, of `time.monotonic`."""
        return cls(reason, now + grace_s * _SPEECH_SHARE, now + grace_s * IDLE_SHARE)


def close_reason(failure: ServiceError | None) -> pb.CloseReason.ValueType:
    """What a session that ends early says of it."""
    return _CLOSE_REASONS.get(failure.reason if failure is not None else "", pb.CLOSE_REASON_ERROR)


def reason_name(reason: pb.CloseReason.ValueType) -> str:
    """As END_OF_AUDIO."""
    return pb.CloseReason.Name(reason).removeprefix("CLOSE_REASON_")


def going_away() -> Unavailable:
    """The error of a stream that a shutting-down server ends or refuses."""
    return Unavailable(
        "the server is shutting down; start a new session elsewhere", reason="DRAINING", retry_after_s=1.0
    )


def too_old() -> Unavailable:
    """The error of a stream that is at its age limit."""
    return Unavailable("the stream is at its age limit; open another", reason="STREAM_AGE", retry_after_s=0.0)
