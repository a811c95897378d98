"""Spans: how they are begun, sampled and brought to an OTLP receiver.

By HTTP and not by gRPC: the exporter has a thread of its own, and gRPC's two ways of working, with threads
and with an event loop, disturb each other in one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from affectstream_server import __version__
from affectstream_server.settings_telemetry import TelemetrySettings
from affectstream_server.telemetry.resource import this_process

_BATCH: Final = 512
_DELAY_MS: Final = 1_000
_CLOSING_S: Final = 3.0
"""For the last spans of a process that ends."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans. Where no receiver is set they record nothing, and carry the caller's context alone."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self.tracer: trace.Tracer = trace.NoOpTracer()
        self.on = bool(settings.traces)
        self._queue: SpanQueue | None = None
        if self.on:
            self._queue = SpanQueue(settings)
            provider = TracerProvider(
                sampler=ParentBasedTraceIdRatio(settings.sample_ratio),
                resource=this_process(),
                shutdown_on_exit=False,
            )
            provider.add_span_processor(self._queue)
            self.tracer = provider.get_tracer("affectstream", __version__)

    @property
    def counts(self) -> Mapping[str, int]:
        """Spans since the start: open, exported, dropped, failed."""
        return self._queue.counts if self._queue is not None else {}

    async def close(self) -> None:
        """Export what waits, as far as there is time."""
        if self._queue is not None:
            await self._queue.close()


class SpanQueue(SpanProcessor):
    """A bounded queue before an exporter. It counts what comes in and what became of it."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._limit = settings.span_queue
        self._exporter = _Exporter(settings)
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=self._limit,
            max_export_batch_size=min(_BATCH, self._limit),
            schedule_delay_millis=_DELAY_MS,
        )
        self._started = 0
        self._ended = 0
        self._dropped = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """See `Tracing.counts`."""
        return {
            "open": self._started - self._ended,
            "exported": self._exporter.exported,
            "dropped": self._dropped,
            "failed": self._exporter.failed,
        }

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """A span began."""
        self._started += 1

    def on_end(self, span: ReadableSpan) -> None:
        """A span ended: it waits to be exported, where there is room."""
        self._ended += 1
        if self._ended - self._dropped - self._exporter.taken > self._limit:
            self._dropped += 1
        else:
            self._batches.on_end(span)

    async def close(self) -> None:
        """Export what waits, as far as there is time, and stop."""
        try:
            async with asyncio.timeout(_CLOSING_S):
                await asyncio.to_thread(self._batches.force_flush)
        except TimeoutError:
            pass
        self._exporter.shutdown()  # before the thread: it may be waiting for another attempt
        await asyncio.to_thread(self._batches.shutdown)


class _Exporter(SpanExporter):
    """OTLP by HTTP, counted. Lives on the queue's thread."""

    def __init__(self, settings: TelemetrySettings) -> None:
        address = settings.traces
        endpoint = address if urlsplit(address).path.strip("/") else f"{address.rstrip('/')}/v1/traces"
        self._otlp = OTLPSpanExporter(endpoint=endpoint, timeout=settings.export_timeout_s)
        self._over = False
        self.taken = self.exported = self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._otlp.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        if not self._over:
            self._over = True
            self._otlp.shutdown()  # type: ignore[no-untyped-call]


def extract(headers: Mapping[str, str]) -> Context:
    """The caller's trace context, of `traceparent` and `tracestate`; an empty one where it has none."""
    return _PROPAGATOR.extract(headers, context=Context())


def headers_of(span: trace.Span) -> dict[str, str]:
    """What tells another service of a span; nothing where it is not recorded: that would record its part."""
    if not span.get_span_context().trace_flags.sampled or not span.is_recording():
        return {}
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers, context=trace.set_span_in_context(span, Context()))
    return headers


def traceparent(span: trace.Span) -> str:
    """W3C trace context; empty where there is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    flags = int(context.trace_flags)
    return f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-{flags:02x}"


def exemplar(span: trace.Span) -> dict[str, str] | None:
    """What a histogram's bucket tells of this one; None where nobody can look it up."""
    context = span.get_span_context()
    if not span.is_recording() or not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
