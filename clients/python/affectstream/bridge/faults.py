"""Errors as the other side of a WebSocket is told them."""

from __future__ import annotations

from typing import Any, Final

import grpc

from affectstream import errors

_CODES: Final[dict[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}

WELL: Final = 1000


def http_status(error: errors.AffectStreamError) -> int:
    """The status of an HTTP answer that tells of this."""
    return _CODES.get(error.status or grpc.StatusCode.UNKNOWN, 500)


def close_code(error: errors.AffectStreamError | None) -> int:
    """The code a WebSocket is closed with; None: the stream ended well."""
    return WELL if error is None else 4_000 + http_status(error)


def as_json(error: errors.AffectStreamError) -> dict[str, Any]:
    """``{"error": …}`` as docs/bridge.md says; safe to show."""
    status = error.status or grpc.StatusCode.UNKNOWN
    told: dict[str, Any] = {"status": status.name, "reason": error.reason, "message": str(error)}
    told |= {"field": error.field, "value": error.value, "limit": error.limit}
    if error.retry_after_s is not None:
        told["retryAfterS"] = round(error.retry_after_s, 3)
    return {"error": {name: value for name, value in told.items() if value != ""}}


def malformed(
    field: str, value: str, limit: str, *, reason: str = "MALFORMED_MESSAGE"
) -> errors.InvalidRequest:
    """A message that cannot be passed on."""
    return errors.InvalidRequest(
        f"{field}: got {value}, expected {limit}", reason=reason, field=field, value=value, limit=limit
    )


def stopping() -> errors.ServerUnavailable:
    """The bridge is about to end."""
    return errors.ServerUnavailable(
        "the bridge stops; resume, or begin anew", reason="BRIDGE_STOPPING", retry_after_s=1.0
    )


def internal() -> errors.ServerError:
    """A fault of the bridge itself; the cause is in its log."""
    return errors.ServerError("the bridge failed; the fault is in its log", reason="INTERNAL_FAULT")
