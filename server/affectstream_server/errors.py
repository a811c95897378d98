"""What can go wrong with a call, without a word about gRPC.

ServiceError
├── InvalidRequest      INVALID_ARGUMENT: a field, its value and the limit it broke
├── NotServed           UNIMPLEMENTED: asked for, known, and not on at this server
├── LimitReached        RESOURCE_EXHAUSTED: admission, message size, a reader that is too slow
├── Unauthenticated     UNAUTHENTICATED: no token, or none that is accepted; which, only the log knows
├── Refused             FAILED_PRECONDITION: consent, role, or a session that others continued
├── NotFound            NOT_FOUND: no such session for this caller
├── OutOfRange          OUT_OF_RANGE: what was asked for is not retained any more
├── AlreadyExists       ALREADY_EXISTS: the session's id is taken
├── Superseded          ABORTED: another stream continued the session
├── Unavailable         UNAVAILABLE: starting, draining, or without a model
└── InternalFault       INTERNAL: our own fault; the cause is logged, never sent

Every message is safe to show: it holds no exception text and no audio.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """Ends a call with a gRPC status.

    ``reason`` is stable, upper case and machine-readable; ``field``, ``value`` and ``limit`` say
    what was wrong where there is such a thing; ``retry_after_s`` is set where a retry helps.
    """

    status: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        field: str = "",
        value: object = "",
        limit: object = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field
        self.value = str(value)
        self.limit = str(limit)
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    """The request breaks the protocol or a range."""

    status = "INVALID_ARGUMENT"

    def __init__(self, field: str, value: object, limit: object, *, reason: str = "INVALID_FIELD") -> None:
        super().__init__(
            f"{field}: got {value}, expected {limit}", reason=reason, field=field, value=value, limit=limit
        )


class NotServed(ServiceError):
    """The contract knows it and this server does not serve it."""

    status = "UNIMPLEMENTED"

    def __init__(self, field: str, value: object, *, instead: str) -> None:
        super().__init__(
            f"{field}: {value} is not served here; {instead}",
            reason="NOT_SERVED",
            field=field,
            value=value,
            limit=instead,
        )


class LimitReached(ServiceError):
    """A bound of the server was reached."""

    status = "RESOURCE_EXHAUSTED"


class Unauthenticated(ServiceError):
    """The call shows no token that is accepted. One text for every cause: it must not help to guess."""

    status = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__(
            "authorization: no token that this server accepts; expected 'Bearer TOKEN' with one that its "
            "operator gave and that has not expired",
            reason="TOKEN_NOT_ACCEPTED",
            field="authorization",
        )


class Refused(ServiceError):
    """Consent is missing, the role may not be analysed, or others went on with the session."""

    status = "FAILED_PRECONDITION"


class NotFound(ServiceError):
    """There is none, or none that this caller may know of."""

    status = "NOT_FOUND"


class OutOfRange(ServiceError):
    """What was asked for is not retained any more."""

    status = "OUT_OF_RANGE"


class AlreadyExists(ServiceError):
    """A name that is taken."""

    status = "ALREADY_EXISTS"


class Superseded(ServiceError):
    """Another stream took over."""

    status = "ABORTED"

    def __init__(self) -> None:
        super().__init__("another stream continued this session", reason="SUPERSEDED")


class Unavailable(ServiceError):
    """The server is starting, draining, or lost what it needs."""

    status = "UNAVAILABLE"


class InternalFault(ServiceError):
    """A fault of the server itself."""

    status = "INTERNAL"

    def __init__(self) -> None:
        super().__init__(
            "the server failed; the fault is in its log under this session", reason="INTERNAL_FAULT"
        )
