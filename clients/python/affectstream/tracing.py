"""The caller's trace, so that the server's spans stand below it.

Whoever traces with OpenTelemetry has its API imported already; nothing is imported here, and nothing needs to
be installed.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import grpc

from affectstream.trace_context import EXPECTED, is_traceparent

_API: Final = "opentelemetry.trace"


def check(traceparent: str) -> None:
    """Raises `ValueError` where it is neither empty nor a W3C traceparent."""
    if traceparent and not is_traceparent(traceparent):
        raise ValueError(f"traceparent is {traceparent!r}, expected {EXPECTED}")


def added(metadata: grpc.aio.Metadata, traceparent: str) -> grpc.aio.Metadata:
    """The metadata of a call with its trace, unless the caller has put one there."""
    if any(key == "traceparent" for key, _ in metadata):
        return metadata
    return metadata + grpc.aio.Metadata(*headers(traceparent))


def headers(traceparent: str = "") -> tuple[tuple[str, str], ...]:
    """What tells the server whose trace a call belongs to: this one, else OpenTelemetry's current span."""
    if traceparent:
        return (("traceparent", traceparent),)
    trace: Any = sys.modules.get(_API)
    if trace is None:
        return ()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    current = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    state = context.trace_state.to_header() if context.trace_state else ""
    return (("traceparent", current), *((("tracestate", state),) if state else ()))
