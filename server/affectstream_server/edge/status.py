"""Service errors as gRPC statuses with google.rpc details."""

from __future__ import annotations

from typing import Final, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from affectstream_server.edge.observing import note_reason
from affectstream_server.errors import ServiceError

DOMAIN: Final = "affectstream.dev"
DETAILS_KEY: Final = "grpc-status-details-bin"
"""Of the trailing metadata: a serialised google.rpc.Status."""


def details(error: ServiceError) -> status_pb2.Status:
    """The google.rpc.Status of an error: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.status), message=error.message)
    metadata = {
        key: value
        for key, value in (("field", error.field), ("value", error.value), ("limit", error.limit))
        if value
    }
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    )
    if error.field and error.status in ("INVALID_ARGUMENT", "UNIMPLEMENTED"):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1_000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


async def abort(context: grpc.aio.ServicerContext, error: ServiceError) -> NoReturn:  # type: ignore[type-arg]
    """End the call with the error's status and details."""
    note_reason(error)
    context.set_trailing_metadata(((DETAILS_KEY, details(error).SerializeToString()),))
    await context.abort(getattr(grpc.StatusCode, error.status), error.message)
