"""A server's metrics as a real OTLP receiver gets them, beside what the same server says over HTTP."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, HistogramDataPoint, Metric

from affectstream_server.lifecycle import Server
from affectstream_server.telemetry.names import METRICS
from tests.support.metrics import Scrape, scrape
from tests.support.otlp import Receiver, receiver
from tests.support.speech import sample_talk
from tests.support.telemetry import until
from tests.support.wire import finals, running_server, stream_talk

MOVING = (
    "process_",
    "affectstream_loop_lag",
    "affectstream_metric_exports",
    "affectstream_spans",
    "affectstream_tasks",
)
"""What goes on between a scrape and an export."""
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


@pytest.fixture
def receiving() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def settings(url: str, **values: Any) -> dict[str, dict[str, Any]]:
    scraped = {"metrics": True, "metrics_address": "127.0.0.1:0"}
    return {"telemetry": {"otlp_metrics": url, "otlp_metrics_interval_s": 0.1, **scraped, **values}}


def labels_of(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


def points_of(metric: Metric) -> list[Any]:
    kind = metric.WhichOneof("data")
    assert kind
    return list(getattr(metric, kind).data_points)


def samples_of(metric: Metric) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    """As Prometheus would write it."""
    for point in points_of(metric):
        labels = labels_of(point)
        if not isinstance(point, HistogramDataPoint):
            yield metric.name, tuple(sorted(labels.items())), point.as_double
            continue
        bounds = [*(str(bound) for bound in point.explicit_bounds), "+Inf"]
        for bound, count in zip(bounds, accumulate(point.bucket_counts), strict=True):
            yield f"{metric.name}_bucket", tuple(sorted({**labels, "le": bound}.items())), count
        for end, value in (("count", point.count), ("sum", point.sum)):
            yield f"{metric.name}_{end}", tuple(sorted(labels.items())), value


def compared(scraped: Scrape) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for one in scraped.samples
        if not one.name.startswith(MOVING) and not one.name.endswith("_created")
    }


async def exported_anew(receiving: Receiver) -> dict[str, Metric]:
    """An export that began after this was called."""
    before = len(receiving.metrics)
    await until(lambda: len(receiving.metrics) >= before + 2)
    return receiving.metrics[-1]


async def test_the_receiver_gets_exactly_what_a_scrape_says(receiving: Receiver, figure: Any) -> None:
    async with running_server(settings(receiving.url, traces=receiving.url)) as server:
        assert finals(await stream_talk(server.address, sample_talk()))
        await until(lambda: server.pipeline.streams == 0)
        sent = await exported_anew(receiving)
        seen = await scrape(server)
    told = {
        (name, labels): value
        for metric in sent.values()
        if not metric.name.startswith(MOVING)
        for name, labels, value in samples_of(metric)
    }
    assert told == compared(seen)
    assert receiving.paths == {"/v1/metrics", "/v1/traces"}
    assert {one["service.name"] for one in receiving.resources} == {"affectstream"}
    always = {metric.exposed for metric in METRICS} & {sample.name for sample in seen.samples}
    assert always <= set(sent)
    assert {"process_cpu_seconds_total", "affectstream_loop_lag_seconds"} <= set(sent)
    figure(f"{len(told)} samples of {len(sent)} metrics are equal")


async def test_kinds_and_texts_are_those_of_the_names(receiving: Receiver) -> None:
    async with running_server(settings(receiving.url, metrics=False)) as server:
        assert server.telemetry.metrics_address == "", "nothing else is on"
        await stream_talk(server.address, sample_talk()[:48_000])
    sent = receiving.metrics[-1]
    kinds = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}
    known = {metric.exposed: metric for metric in METRICS}
    ours = [metric for name, metric in sent.items() if name.startswith("affectstream_")]
    assert len(ours) > 25
    for metric in ours:
        assert metric.WhichOneof("data") == kinds[known[metric.name].kind]
        assert metric.description == known[metric.name].text
        assert metric.unit == "", "a receiver would add it to the name"
        if metric.HasField("sum"):
            assert metric.sum.is_monotonic
            assert metric.sum.aggregation_temporality == CUMULATIVE
        for point in points_of(metric):
            assert set(labels_of(point)) == set(known[metric.name].labels)
            assert point.start_time_unix_nano <= point.time_unix_nano


async def test_exemplars_lead_to_the_spans_that_were_sent(receiving: Receiver) -> None:
    async with running_server(settings(receiving.url, traces=receiving.url)) as server:
        await stream_talk(server.address, sample_talk())
    [stage] = [receiving.metrics[-1]["affectstream_stage_duration_seconds"]]
    seen = {(one.trace_id.hex(), one.span_id.hex()) for point in points_of(stage) for one in point.exemplars}
    utterances = receiving.named("affectstream.utterance")
    assert seen
    assert seen <= {(span.trace_id, span.span_id) for span in utterances}


async def test_the_last_sums_are_sent_when_the_server_goes(receiving: Receiver) -> None:
    async with running_server(settings(receiving.url, otlp_metrics_interval_s=3_600)) as server:
        events = finals(await stream_talk(server.address, sample_talk()))
        assert receiving.metrics == []
    [sent] = receiving.metrics
    assert sum(point.as_double for point in points_of(sent["affectstream_utterances_total"])) == len(events)


def failed(server: Server) -> float:
    registry: Any = server.telemetry
    return float(
        registry._registry.get_sample_value("affectstream_metric_exports_total", {"outcome": "failed"})
    )


async def test_a_receiver_that_is_away_is_counted_and_costs_no_sums(receiving: Receiver) -> None:
    receiving.refuses = 400
    async with running_server(settings(receiving.url, export_timeout_s=0.5)) as server:
        events = finals(await stream_talk(server.address, sample_talk()))
        await until(lambda: failed(server) >= 2)
        receiving.refuses = 0
        await until(lambda: len(receiving.metrics) >= 2)
        seen = await scrape(server)
        assert seen.value("affectstream_metric_exports_total", outcome="exported") >= 1
    sent = receiving.metrics[-1]
    assert sum(point.as_double for point in points_of(sent["affectstream_utterances_total"])) == len(events)
    outcomes = {
        labels_of(one)["outcome"]: one for one in points_of(sent["affectstream_metric_exports_total"])
    }
    assert outcomes["failed"].as_double >= 2


async def test_a_receiver_that_never_answers_holds_up_nobody() -> None:
    """It takes the connection and says nothing: the loop goes on, and the server ends in bounded time."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with running_server(settings(url, export_timeout_s=0.3)) as server:
            assert finals(await stream_talk(server.address, sample_talk()[:48_000]))
            await until(lambda: failed(server) >= 1)
            exporting = [thread for thread in threading.enumerate() if thread.name == "metrics-export"]
            assert len(exporting) == 1, "one export at a time"
            before = loop.time()
        assert loop.time() - before < 5
    assert not exporting[0].is_alive()
