"""Metrics that are read off the server at a scrape, and cost nothing between two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from affectstream_server import __version__
from affectstream_server.pipeline import Pipeline
from affectstream_server.scoring.breaker import State
from affectstream_server.scoring.fallback import WithFallback
from affectstream_server.telemetry import names
from affectstream_server.telemetry.logging import DROPPED
from affectstream_server.telemetry.names import Metric
from affectstream_server.telemetry.otlp_metrics import MetricExport
from affectstream_server.telemetry.tracing import Tracing

Value = tuple[tuple[str, ...], float]


class StateOfServer(Collector):
    """Asked on the scrape's own thread: takes numbers, and copies what it goes through.

    Made in the event loop.
    """

    def __init__(self, pipeline: Pipeline, tracing: Tracing, export: MetricExport | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipeline = pipeline
        self._tracing = tracing
        self._export = export

    def collect(self) -> Iterator[Family]:
        """What `names` has of how the server is at this moment."""
        pipeline = self._pipeline
        ready = not pipeline.router.trouble and not pipeline.sessions.draining
        yield _family(names.BUILD, [((__version__,), 1.0)])
        for metric, value in (
            (names.READY, float(ready)),
            (names.STREAMS, pipeline.streams),
            (names.SESSIONS, len(pipeline.sessions)),
            (names.SESSIONS_LOST, pipeline.sessions.lost),
            (names.ANALYSES, pipeline.analyzer.in_flight),
            (names.WATCHERS, pipeline.watching.watchers),
            (names.SCORES_IN_FLIGHT, pipeline.load.in_flight),
            (names.DETECTION_WAITING, pipeline.waiting),
            (names.TASKS, len(asyncio.all_tasks(self._loop))),
        ):
            yield _family(metric, [((), value)])
        yield from _models(pipeline)
        if pipeline.bus is not None:
            bus = pipeline.bus.state
            yield _family(names.BUS_PUBLISHED, [((), bus.published)])
            yield _family(names.BUS_DROPPED, [((), bus.dropped)])
            yield _family(names.BUS_BEHIND, [((), bus.behind)])
            yield _family(names.BUS_RETAINED, [((), bus.retained_bytes)])
        yield _family(names.LOGS_DROPPED, [((level,), count) for level, count in tuple(DROPPED.items())])
        if self._tracing.on:
            spans = dict(self._tracing.counts)
            yield _family(names.SPANS_OPEN, [((), spans.pop("open"))])
            yield _family(names.SPANS, [((outcome,), count) for outcome, count in spans.items()])
        if self._export is not None:
            exports = dict(self._export.counts)
            yield _family(names.METRIC_EXPORTS, [((outcome,), count) for outcome, count in exports.items()])


def _models(pipeline: Pipeline) -> Iterator[Family]:
    ready: list[Value] = []
    pending: list[Value] = []
    breaker: list[Value] = []
    calls: list[Value] = []
    fallbacks: list[Value] = []
    for name, scorer in pipeline.router.scorers.items():
        pending.append(((name,), scorer.pending))
        first = scorer
        if isinstance(scorer, WithFallback):
            fallbacks.append(((name,), scorer.counts["fell_back"]))
            first = scorer.first
        ready.append(((name,), float(not first.trouble)))
        state = getattr(first, "breaker", None)  # Triton's alone; its module needs an extra
        if state is not None:
            breaker += [((name, one.value), float(one is state)) for one in State]
            outcomes = dict.fromkeys(names.TRITON_OUTCOMES, 0) | first.counts  # type: ignore[attr-defined]
            calls += [((name, outcome), count) for outcome, count in outcomes.items()]
    yield _family(names.MODEL_READY, ready)
    yield _family(names.MODEL_PENDING, pending)
    yield _family(names.BREAKER, breaker)
    yield _family(names.TRITON_CALLS, calls)
    yield _family(names.FALLBACKS, fallbacks)


def _family(metric: Metric, values: Iterable[Value]) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.text, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family
