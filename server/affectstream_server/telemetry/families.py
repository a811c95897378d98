"""Prometheus's families as OTLP's metrics: the same names, labels, sums and buckets."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from affectstream_server import __version__
from affectstream_server.telemetry.resource import this_process

Labels = tuple[tuple[str, str], ...]

_BEGAN_NS: Final = time.time_ns()
"""Since when counters count that say nothing of it."""
_SINCE_START: Final = AggregationTemporality.CUMULATIVE
_SCOPE: Final = InstrumentationScope("affectstream", __version__)


def metrics_data(registry: CollectorRegistry) -> MetricsData:
    """All that a registry holds at this moment."""
    now_ns = time.time_ns()
    metrics = [metric for family in registry.collect() for metric in _of_family(family, now_ns)]
    scope = ScopeMetrics(_SCOPE, metrics, "")
    return MetricsData([ResourceMetrics(this_process(), [scope], "")])


def _of_family(family: Family, now_ns: int) -> Iterator[Metric]:
    """Nothing of a family that has no samples."""
    samples = _by_labels(family)
    if not samples:
        return
    name = family.name
    data: Gauge | Histogram | Sum
    match family.type:
        case "counter":
            name = f"{name}_total"
            data = Sum([_number(name, *one, now_ns) for one in samples.items()], _SINCE_START, True)
        case "histogram":
            data = Histogram([_histogram(name, *one, now_ns) for one in samples.items()], _SINCE_START)
        case _:
            data = Gauge([_number(name, *one, now_ns) for one in samples.items()])
    yield Metric(
        name, family.documentation, "", data
    )  # the unit is in the name, and would be put there twice


def _by_labels(family: Family) -> dict[Labels, list[Sample]]:
    """A series each."""
    series: dict[Labels, list[Sample]] = {}
    for sample in family.samples:
        labels = tuple((key, value) for key, value in sample.labels.items() if key != "le")
        series.setdefault(labels, []).append(sample)
    return series


def _number(name: str, labels: Labels, samples: list[Sample], now_ns: int) -> NumberDataPoint:
    value = next(sample.value for sample in samples if sample.name == name)
    return NumberDataPoint(dict(labels), _began_ns(samples), now_ns, float(value))


def _histogram(name: str, labels: Labels, samples: list[Sample], now_ns: int) -> HistogramDataPoint:
    buckets = [sample for sample in samples if sample.name == f"{name}_bucket"]
    up_to = [0, *(round(sample.value) for sample in buckets)]
    bounds = [float(sample.labels["le"]) for sample in buckets]
    return HistogramDataPoint(
        attributes=dict(labels),
        start_time_unix_nano=_began_ns(samples),
        time_unix_nano=now_ns,
        count=up_to[-1],
        sum=next(sample.value for sample in samples if sample.name == f"{name}_sum"),
        bucket_counts=[after - before for before, after in pairwise(up_to)],
        explicit_bounds=[bound for bound in bounds if bound != math.inf],
        min=None,  # type: ignore[arg-type]  # the registry keeps neither
        max=None,  # type: ignore[arg-type]
        exemplars=[exemplar for sample in buckets for exemplar in _exemplars(sample)],
    )


def _exemplars(bucket: Sample) -> Iterator[Exemplar]:
    seen = bucket.exemplar
    if seen is not None and seen.timestamp is not None:
        at_ns = round(float(seen.timestamp) * 1e9)
        trace_id, span_id = (int(seen.labels[key], 16) for key in ("trace_id", "span_id"))
        yield Exemplar({}, float(seen.value), at_ns, span_id, trace_id)


def _began_ns(samples: list[Sample]) -> int:
    return next((round(s.value * 1e9) for s in samples if s.name.endswith("_created")), _BEGAN_NS)
