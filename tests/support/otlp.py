"""A real OTLP/HTTP receiver in the test's process: spans, as JSON too, and metrics."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1 import trace_pb2

ERROR = int(trace_pb2.Status.STATUS_CODE_ERROR)


@dataclass(frozen=True)
class SeenSpan:
    """One span, as it was received."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    events: Mapping[str, int]
    """Name → time."""
    links: tuple[str, ...]
    """Ids of spans."""
    status: int
    """0 unset, 1 ok, 2 error."""

    @property
    def ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"

    def holds(self, other: SeenSpan, *, late_ms: float = 0.0) -> bool:
        """Whether the other's time lies within this one's; it may end ``late_ms`` after it."""
        late_ns = round(late_ms * 1e6)
        return self.start_ns <= other.start_ns and other.end_ns <= self.end_ns + late_ns


class Receiver:
    """What came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[SeenSpan] = []
        self.metrics: list[dict[str, Metric]] = []
        """Of each request that brought metrics, by name."""
        self.resources: list[dict[str, Any]] = []
        """Attributes of who sent each of them."""
        self.paths: set[str] = set()
        self.bodies: list[bytes] = []
        """Of every request, as sent."""
        self.refuses = 0
        """Status that is answered in place of 200; 0: none."""

    def named(self, name: str, **attributes: object) -> list[SeenSpan]:
        """The spans of a name that have these attributes; dots stand as two underscores."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [
            span
            for span in self.spans
            if span.name == name and wanted.items() <= dict(span.attributes).items()
        ]

    def children(self, parent: SeenSpan) -> dict[str, list[SeenSpan]]:
        """By name, in the order in which they began."""
        found: dict[str, list[SeenSpan]] = {}
        for span in sorted(self.spans, key=lambda span: span.start_ns):
            if (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id):
                found.setdefault(span.name, []).append(span)
        return found

    def take(self, path: str, kind: str, body: bytes) -> None:
        """A request came."""
        self.bodies.append(body)
        self.paths.add(path)
        if path == "/v1/metrics":
            [resource] = ExportMetricsServiceRequest.FromString(body).resource_metrics
            self.resources.append(_values(resource.resource.attributes))
            self.metrics.append({one.name: one for scope in resource.scope_metrics for one in scope.metrics})
            return
        self.spans += _of_json(body) if "json" in kind else _of_protobuf(body)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if not seen.refuses:
                seen.take(self.path, self.headers["Content-Type"], body)
            self.send_response(seen.refuses or 200)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _of_protobuf(body: bytes) -> list[SeenSpan]:
    return [
        SeenSpan(
            _values(resource.resource.attributes).get("service.name", ""),
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _values(span.attributes),
            {event.name: event.time_unix_nano for event in span.events},
            tuple(link.span_id.hex() for link in span.links),
            int(span.status.code),
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _of_json(body: bytes) -> list[SeenSpan]:
    return [
        SeenSpan(
            str(_written(resource["resource"]["attributes"])["service.name"]),
            span["name"],
            span["traceId"],
            span["spanId"],
            span.get("parentSpanId", ""),
            int(span["startTimeUnixNano"]),
            int(span["endTimeUnixNano"]),
            _written(span.get("attributes", [])),
            {event["name"]: int(event["timeUnixNano"]) for event in span.get("events", [])},
            (),
            0,
        )
        for resource in json.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _written(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
