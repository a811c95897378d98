"""Why a watch is refused, or ends early."""

from __future__ import annotations

import base64
from typing import Final

from affectstream_server.bus import cursor
from affectstream_server.bus.entry import Position, Subject
from affectstream_server.errors import (
    InvalidRequest,
    NotFound,
    OutOfRange,
    Refused,
    ServiceError,
    Unavailable,
)

RETRY_S: Final = 1.0
"""When to try again what may soon go well."""


def fallen_out(subject: Subject, floor: Position) -> ServiceError:
    """What followed the cursor is not retained any more."""
    earliest = cursor.of_tenant(floor) if subject.is_tenant else cursor.of_session(subject.incarnation, floor)
    return OutOfRange(
        "after: what followed this cursor is not retained any more; the error's details hold the earliest",
        reason="CURSOR_FALLEN_OUT",
        field="after",
        limit=base64.b64encode(earliest).decode(),
    )


def no_session(session_id: str) -> ServiceError:
    """One answer, whether it never was, is another tenant's, or nothing of it is retained."""
    return NotFound(
        "session_id: no session of this id, or nothing of it is retained any more",
        reason="SESSION_NOT_FOUND",
        field="session_id",
        value=session_id,
    )


def bus_away() -> ServiceError:
    """Watching needs the bus."""
    return Unavailable(
        "the bus that retains events cannot be reached just now", reason="BUS_AWAY", retry_after_s=RETRY_S
    )


def bad_cursor(expected: str) -> ServiceError:
    """None of ours, or of something else."""
    return InvalidRequest("after", "no such cursor", expected, reason="BAD_CURSOR")


def session_ended(session_id: str) -> ServiceError:
    """There is nothing to wait for."""
    return Refused(
        "session_id: the session has ended, nothing comes any more; watch it from EARLIEST",
        reason="SESSION_ENDED",
        field="session_id",
        value=session_id,
    )
