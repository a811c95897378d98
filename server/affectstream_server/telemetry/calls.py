"""One call of the service: the caller's trace, the stream's short span, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context

from affectstream_server.telemetry import names
from affectstream_server.telemetry.meters import Meters
from affectstream_server.telemetry.names import Attribute, Told
from affectstream_server.telemetry.tracing import Tracing, extract

_SPANS: Final = {"StreamAffect": names.Span.STREAM, "AnalyzeUtterance": names.Span.ANALYSIS}
_SERVICE: Final = "affectstream.v1.AffectService"
_ERRORS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Statuses of a server's fault, as the conventions for RPC have it; the others are the caller's."""
_HEADERS: Final = ("traceparent", "tracestate")
_NS: Final = 1_000_000_000


class Call:
    """One call, from its metadata to its status."""

    def __init__(
        self, tracing: Tracing, meters: Meters, method: str, metadata: Mapping[str, str], peer: str
    ) -> None:
        self._tracing = tracing
        self._meters = meters
        self._method = method
        self._began = time.perf_counter()
        self._began_ns = time.time_ns()
        self.parent: Context = extract({key: metadata[key] for key in _HEADERS if key in metadata})
        """The caller's context."""
        self.peer = peer
        """The address that called."""
        self.reason = ""
        """Stable word of the error that ended it."""
        self.abandoned = False
        """The caller went without having said that all was sent."""
        self.utterances = 0
        """Finals on this call."""
        self.span: Span | None = None
        """Its short span; None for calls that have none."""
        self._open = False
        self._left = False
        if method in _SPANS:
            self.span = tracing.tracer.start_span(
                _SPANS[method],
                self.parent,
                SpanKind.SERVER,
                {
                    Attribute.RPC_SYSTEM: "grpc",
                    Attribute.RPC_METHOD: f"{_SERVICE}/{method}",
                },
                start_time=self._began_ns,
            )
            self._open = True

    @property
    def is_abandoned(self) -> bool:
        """It ended well for us, and the caller has not waited for it: no session began, or it was left."""
        return self.abandoned or (self._method == "StreamAffect" and self._open)

    @property
    def links(self) -> list[Link]:
        """What ties an utterance to its stream."""
        return [Link(self.span.get_span_context())] if self.span is not None else []

    @property
    def inner(self) -> Context:
        """Parent of what is a part of the call itself."""
        return self.parent if self.span is None else set_span_in_context(self.span, self.parent)

    def accepted(self, attributes: Told) -> None:
        """The session began, or goes on: the stream's span has told all it can."""
        if self.span is not None and self._open:
            self._open = False
            self.span.set_attributes(attributes)
            self.span.end(self._now_ns())

    def leave(self) -> None:
        """Another process serves it, and tells the rest."""
        self._left = True
        self.accepted({})

    def ended(self, status: str) -> None:
        """The call is over, with a gRPC status."""
        if self._left:
            return
        seconds = time.perf_counter() - self._began
        self._meters.rpcs.labels(self._method, status).inc()
        self._meters.rpc_duration.labels(self._method).observe(seconds)
        if self.reason:
            self._meters.refused.labels(self._method, self.reason).inc()
        if self.span is None:
            return
        if self._open:
            self._open = False
            self._close(self.span, status)
        else:
            self._tell_end(status)

    def _tell_end(self, status: str) -> None:
        """How a stream ended is told in a span of its own, however long after its first."""
        end = self._tracing.tracer.start_span(
            names.Span.STREAM_END,
            self.parent,
            attributes={Attribute.UTTERANCES: self.utterances},
            links=self.links,
            start_time=self._now_ns(),
        )
        self._close(end, status)

    def _close(self, span: Span, status: str) -> None:
        span.set_attribute(Attribute.RPC_STATUS, status)
        if self.reason:
            span.set_attribute(Attribute.REASON, self.reason)
        if status in _ERRORS:
            span.set_attribute(Attribute.ERROR_TYPE, status)
            span.set_status(Status(StatusCode.ERROR, self.reason or status))
        span.end(self._now_ns())

    def _now_ns(self) -> int:
        return self._began_ns + round((time.perf_counter() - self._began) * _NS)


CALL: Final[ContextVar[Call | None]] = ContextVar("call", default=None)
"""The call that this task serves."""


class Calls:
    """Makes a `Call` of each."""

    def __init__(self, tracing: Tracing, meters: Meters) -> None:
        self._tracing = tracing
        self._meters = meters

    def begin(self, method: str, metadata: Mapping[str, str], peer: str) -> Call:
        """A call came; the task that serves it knows it from now on."""
        call = Call(self._tracing, self._meters, method, metadata, peer)
        CALL.set(call)
        return call
