"""From a gRPC status to the tree of errors."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from affectstream import errors

DOMAIN: Final = "affectstream.dev"
"""ErrorInfo.domain of statuses that an Affectstream server made: their text is safe to show."""

DETAILS_KEY: Final = "grpc-status-details-bin"

_BY_CODE: Final[dict[grpc.StatusCode, type[errors.AffectStreamError]]] = {
    grpc.StatusCode.UNAVAILABLE: errors.ServerUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.TimedOut,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unimplemented,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.ABORTED: errors.Aborted,
}

_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}

# What is said of a status that no Affectstream server explained: a proxy's or a library's own text
# can hold anything.
_PLAIN: Final[dict[grpc.StatusCode, str]] = {
    grpc.StatusCode.UNAVAILABLE: "the connection to the server was lost",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the server did not answer in time",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "a message was too large, or the server has no room for this call",
    grpc.StatusCode.INVALID_ARGUMENT: "the server refused the request and did not say why",
    grpc.StatusCode.OUT_OF_RANGE: "the server refused a value that is out of range",
    grpc.StatusCode.FAILED_PRECONDITION: "the server asks for something to be done first",
    grpc.StatusCode.NOT_FOUND: "the server does not know what was asked for",
    grpc.StatusCode.ALREADY_EXISTS: "what was to be made is there already",
    grpc.StatusCode.UNAUTHENTICATED: "the server did not accept the credentials",
    grpc.StatusCode.PERMISSION_DENIED: "the credentials do not allow this call",
    grpc.StatusCode.UNIMPLEMENTED: "this server does not serve that call",
    grpc.StatusCode.CANCELLED: "the call was cancelled",
    grpc.StatusCode.ABORTED: "the server ended the call in favour of another",
}

_CONNECT_CAUSES: Final = (
    ("connection refused", "connection refused"),
    ("dns resolution failed", "no such host name"),
    ("domain name not found", "no such host name"),
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet"),
    ("issuer certificate", "its certificate is of a CA that is not trusted here"),
    ("self signed certificate", "its certificate is of a CA that is not trusted here"),
    ("self-signed certificate", "its certificate is of a CA that is not trusted here"),
    ("certificate_verify_failed", "its certificate was not accepted"),
    ("wrong_version_number", "it does not speak TLS"),
    ("hostname verification", "its certificate is for another name"),
    ("handshake", "the secure handshake failed"),
    ("ssl", "the secure handshake failed"),
    ("socket closed", "it closed the connection: is it full, or does it want TLS or a certificate?"),
    ("no route to host", "no route to it"),
    ("network is unreachable", "the network cannot be reached"),
    ("timed out", "no answer"),
    ("timeout", "no answer"),
    ("deadline", "no answer"),
)


class _Details:
    """The google.rpc details of one status; empty where there are none."""

    def __init__(self, metadata: object) -> None:
        self.reason = ""
        self.ours = False
        self.code, self.text = 0, ""
        self.info: dict[str, str] = {}
        self.violation = ("", "")
        self.retry_after_s: float | None = None
        for blob in _values(metadata, DETAILS_KEY):
            self._read(blob)

    def _read(self, blob: bytes) -> None:
        try:
            status = status_pb2.Status.FromString(blob)
        except DecodeError:
            return
        self.code, self.text = status.code, status.message
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            bad = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            try:
                if detail.Unpack(info):
                    self.reason, self.ours = info.reason, info.domain == DOMAIN
                    self.info = dict(info.metadata)
                elif detail.Unpack(bad) and bad.field_violations:
                    first = bad.field_violations[0]
                    self.violation = (first.field, first.description)
                elif detail.Unpack(retry):
                    self.retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
            except DecodeError:
                continue


def _values(metadata: object, key: str) -> list[bytes]:
    if not isinstance(metadata, grpc.aio.Metadata | tuple | list):
        return []
    return [value for name, value in metadata if name == key and isinstance(value, bytes)]


def to_error(code: grpc.StatusCode, text: str, metadata: object = None) -> errors.AffectStreamError:
    """The error for a status that ended a call.

    Args:
        code: Any status but OK.
        text: The status's message; shown only where an Affectstream server made it.
        metadata: Trailing metadata of the call, which may hold google.rpc details.
    """
    details = _Details(metadata)
    if code is grpc.StatusCode.CANCELLED and details.ours and details.code in _BY_NUMBER:
        # A proxy reset the call right behind its trailers, as HAProxy does when a server ends a call early
        # (haproxy/haproxy#1219): gRPC takes that for the status, and what the server said stands beside it.
        code, text = _BY_NUMBER[details.code], details.text
    kind = _BY_CODE.get(code, errors.ServerError)
    field, description = details.violation
    message = text if details.ours and text else _PLAIN.get(code, f"the server failed ({code.name})")
    return kind(
        " ".join((message or description).split()),
        reason=details.reason,
        field=details.info.get("field", field),
        value=details.info.get("value", ""),
        limit=details.info.get("limit", ""),
        retry_after_s=details.retry_after_s,
        status=code,
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> errors.AffectStreamError:
    """The error for what grpc.aio raised."""
    return to_error(error.code(), error.details() or "", error.trailing_metadata())


def connect_cause(text: str) -> str:
    """Why there is no connection, in plain words, from gRPC's own; empty: no known cause."""
    lower = text.lower()
    return next((plain for mark, plain in _CONNECT_CAUSES if mark in lower), "")


def connect_error(target: str, text: str) -> errors.ConnectError:
    """The error for a call that never reached a server.

    Args:
        target: Where the server was looked for; named in the message.
        text: gRPC's own words, from which only a known cause is taken.
    """
    cause = connect_cause(text) or "no connection"
    return errors.ConnectError(f"no server at {target}: {cause}", value=target)
