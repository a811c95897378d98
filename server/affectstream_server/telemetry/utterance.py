"""One utterance's span, and those of what was done for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from affectstream_server.observer import ScoreObserver
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.stages.decide import Verdict
from affectstream_server.telemetry.names import Attribute, Span, Told
from affectstream_server.telemetry.tracing import Tracing, headers_of

_NS: Final = 1_000_000_000


class Tracked:
    """From the start of speech to the final's bytes. Times are `time.perf_counter`."""

    def __init__(
        self,
        tracing: Tracing,
        parent: Context | None,
        links: list[Link],
        utterance_id: str,
        attributes: Told,
    ) -> None:
        self._tracer = tracing.tracer
        self.began = time.perf_counter()
        # One anchor an utterance: whatever happens to the clock meanwhile, its times nest.
        self._began_ns = time.time_ns()
        self._ended: float | None = None
        self.utterance_id = utterance_id
        self._told_id = attributes[Attribute.UTTERANCE]
        self.declared_at: float | None = None
        self.decided_at = 0.0
        self.speculated = False
        self.status = ""
        """Of its final, as MODEL_ERROR."""
        self.span = self._tracer.start_span(
            Span.UTTERANCE, parent, SpanKind.INTERNAL, attributes, links, start_time=self._began_ns
        )
        self._context = set_span_in_context(self.span, Context())

    @property
    def trace_id(self) -> str:
        """In hexadecimal; empty where there is none."""
        context = self.span.get_span_context()
        return format_trace_id(context.trace_id) if context.is_valid else ""

    def child(
        self, name: Span, began: float, ended: float, attributes: Told | None = None, error: str = ""
    ) -> None:
        """A part of it that is over."""
        if not self.span.get_span_context().trace_flags.sampled:
            return
        span = self._tracer.start_span(name, self._context, attributes=attributes, start_time=self._ns(began))
        if error:
            span.set_attribute(Attribute.ERROR_TYPE, error)
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(self._ns(max(began, ended)))

    @contextmanager
    def call(self, attributes: Told) -> Iterator[tuple[str, dict[str, str]]]:
        """A call of an inference server, as long as the block: its request id, and what else goes with it."""
        began_ns = self._ns(time.perf_counter())
        span = self._tracer.start_span(
            Span.TRITON, self._context, SpanKind.CLIENT, attributes, start_time=began_ns
        )
        context = span.get_span_context()
        request_id = f"{self._told_id}-{format_span_id(context.span_id)}" if context.is_valid else ""
        span.set_attribute(Attribute.REQUEST, request_id)
        try:
            yield request_id, headers_of(span)
        except asyncio.CancelledError:
            span.set_attribute(Attribute.OUTCOME, "dropped")
            raise
        except Exception as error:
            span.set_attribute(Attribute.OUTCOME, type(error).__name__)
            span.set_attribute(Attribute.ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        else:
            span.set_attribute(Attribute.OUTCOME, "answered")
        finally:
            span.end(self._ns(time.perf_counter()))

    def end(self, at: float, attributes: Told, error: str = "") -> None:
        """It is over."""
        self._ended = at
        self.span.set_attributes(attributes)
        if error:
            self.span.set_attribute(Attribute.ERROR_TYPE, error)
            self.span.set_status(Status(StatusCode.ERROR, error))
        self.span.end(self._ns(at))

    def _ns(self, at: float) -> int:
        """A time on the clock, within the utterance."""
        if self._ended is not None:
            at = min(at, self._ended)  # a score that was dropped is over a moment later than told
        return self._began_ns + round(max(0.0, at - self.began) * _NS)


class TrackedScore(ScoreObserver):
    """One score of an utterance."""

    def __init__(self, tracked: Tracked, *, ahead: bool) -> None:
        self._tracked = tracked
        self._purpose: Told = {Attribute.PURPOSE: "ahead" if ahead else "final"}
        self._asked = time.perf_counter()
        self._attempts = 0
        self._headers: dict[str, str] = {}
        self._over = False

    @contextmanager
    def call(self, model: ModelInfo, breaker: str) -> Iterator[str]:
        self._attempts += 1
        if self._attempts == 1:
            self._tracked.child(Span.QUEUE, self._asked, time.perf_counter(), self._purpose)
        attributes: Told = self._purpose | {
            Attribute.MODEL: model.name,
            Attribute.VERSION: model.version,
            Attribute.ATTEMPT: self._attempts,
            Attribute.BREAKER: breaker,
        }
        with self._tracked.call(attributes) as (request_id, self._headers):
            yield request_id
        self._headers = {}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def answered(self, verdict: Verdict) -> None:
        self._over = True
        score = verdict.score
        if score is None:
            error = type(verdict.failure).__name__
            if not self._attempts:
                self._tracked.child(Span.QUEUE, self._asked, verdict.scored_at, self._purpose, error)
            return
        if self._attempts and not score.model.fallback:
            return
        computing = verdict.scored_at - score.compute_ms / 1_000
        if not self._attempts:
            computing = min(computing, self._asked + score.queue_ms / 1_000)
            self._tracked.child(Span.QUEUE, self._asked, computing, self._purpose)
        model: Told = {Attribute.MODEL: score.model.name, Attribute.VERSION: score.model.version}
        ended = computing + score.compute_ms / 1_000
        self._tracked.child(Span.SCORE, computing, ended, self._purpose | model)

    def drop(self) -> None:
        """Nobody wants it any more. Nothing happens where it was answered."""
        if not self._over and not self._attempts:
            dropped: Told = self._purpose | {Attribute.OUTCOME: "dropped"}
            self._tracked.child(Span.QUEUE, self._asked, time.perf_counter(), dropped)
