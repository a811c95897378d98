"""Everything that can go wrong with a call, as one tree.

    AffectStreamError                 status               retry helps
    ├── ServerUnavailable             UNAVAILABLE          yes    draining, or the connection was lost
    │   ├── ConnectError              UNAVAILABLE          yes    nobody answers at the address
    │   └── GaveUp                    UNAVAILABLE          yes    reconnecting did not help in time
    ├── TimedOut                      DEADLINE_EXCEEDED    yes    a limit of `Timeouts` or the server's passed
    ├── ResourceExhausted             RESOURCE_EXHAUSTED   after `retry_after_s`, if that is given
    ├── InvalidRequest                INVALID_ARGUMENT     no     see `field`, `value`, `limit`
    ├── FailedPrecondition            FAILED_PRECONDITION  no     such as a consent basis that is missing
    ├── Unauthenticated               UNAUTHENTICATED      no
    ├── PermissionDenied              PERMISSION_DENIED    no
    ├── NotFound                      NOT_FOUND            no
    ├── AlreadyExists                 ALREADY_EXISTS       no     such as a session of that id
    ├── Unimplemented                 UNIMPLEMENTED        no     this server does not serve it
    ├── Cancelled                     CANCELLED            no     the call was cancelled on this side
    ├── Aborted                       ABORTED              no     another stream took the session
    ├── ControlWithoutEffect          -                    no     `reason` says why; the stream goes on
    ├── StreamClosed                  -                    no     sending on a stream that has ended
    ├── ProtocolError                 -                    no     the server broke the contract
    └── ServerError                   INTERNAL, others     no     the server failed

`str(error)` is one line without addresses of code, secrets or a parser's text: safe to show.
"""

from __future__ import annotations

from typing import ClassVar

import grpc


class AffectStreamError(Exception):
    """Any failure of a call to an Affectstream server."""

    status: grpc.StatusCode | None = None
    """The gRPC status; None where the failure was found on this side."""
    retryable: ClassVar[bool] = False
    """The same call can succeed later without a change."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        value: str = "",
        limit: str = "",
        retry_after_s: float | None = None,
        status: grpc.StatusCode | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """One line that is safe to show."""
        self.reason = reason
        """Stable name of the cause, upper case, such as ``"BAD_SAMPLE_RATE"``; empty: not given."""
        self.field = field
        """What it is about, such as ``"config.audio.sample_rate_hz"``; empty: nothing single."""
        self.value = value
        """The value that was refused; empty: not given."""
        self.limit = limit
        """What would have been accepted; empty: not given."""
        self.retry_after_s = retry_after_s
        """Seconds after which a retry is welcome; None: not given."""
        if status is not None:
            self.status = status


class ServerUnavailable(AffectStreamError):
    """The server is draining, not ready, or the connection to it was lost."""

    status = grpc.StatusCode.UNAVAILABLE
    retryable = True


class ConnectError(ServerUnavailable):
    """No connection: nobody listens there, the name is not known, or TLS failed."""


class GaveUp(ServerUnavailable):
    """A stream that reconnects had no call for longer than its `Reconnect` allows; names the last cause."""


class TimedOut(AffectStreamError):
    """A limit of `Timeouts`, or the server's own, passed."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED
    retryable = True


class ResourceExhausted(AffectStreamError):
    """A quota or a limit was reached; `retry_after_s` says when a retry is welcome."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    retryable = True


class InvalidRequest(AffectStreamError):
    """The request is wrong and stays wrong; `field`, `value` and `limit` say where."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class FailedPrecondition(AffectStreamError):
    """Something has to be done first, such as stating a consent basis."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class Unauthenticated(AffectStreamError):
    """The credentials are missing or were not accepted."""

    status = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(AffectStreamError):
    """The credentials are good and do not allow this."""

    status = grpc.StatusCode.PERMISSION_DENIED


class NotFound(AffectStreamError):
    """What was asked for does not exist, such as a session."""

    status = grpc.StatusCode.NOT_FOUND


class AlreadyExists(AffectStreamError):
    """What was to be made is there already, such as a session of that id."""

    status = grpc.StatusCode.ALREADY_EXISTS


class Unimplemented(AffectStreamError):
    """This server does not serve what was asked for; `server_info().features` says what it does."""

    status = grpc.StatusCode.UNIMPLEMENTED


class Cancelled(AffectStreamError):
    """The call was cancelled on this side, or by a proxy between."""

    status = grpc.StatusCode.CANCELLED


class Aborted(AffectStreamError):
    """The server ended the call in favour of another: another stream continues the session."""

    status = grpc.StatusCode.ABORTED


class ControlWithoutEffect(AffectStreamError):
    """The server did not do what a control asked for. The stream goes on.

    `reason` is the code of its warning, such as ``"TURN_NOT_OPEN"``; `field`, `value`, `limit` as there.
    """


class StreamClosed(AffectStreamError):
    """Something was sent on a stream that has ended; its events say why."""


class ProtocolError(AffectStreamError):
    """The other side does not keep the contract."""


class ServerError(AffectStreamError):
    """The server failed; its logs know more."""

    status = grpc.StatusCode.INTERNAL
