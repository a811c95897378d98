"""The Python client continues its caller's trace, and records how long it waited."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from affectstream import AffectClient, AffectEvent, AffectStatus, StreamConfig
from tests.support.otlp import Receiver, receiver
from tests.support.speech import sample_talk
from tests.support.wire import running_server

GIVEN = "00-1af7651916cd43dd8448eb211c80319d-a7ad6b7169203332-01"


@pytest.fixture
def spans() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


async def talk(client: AffectClient, config: StreamConfig | None = None) -> list[AffectEvent]:
    """Every final of the bundled talk."""
    samples = sample_talk()
    async with client.stream(config) as stream:
        for start in range(0, len(samples), 320):
            await stream.send(samples[start : start + 320])
        await stream.end()
        return [event async for event in stream if isinstance(event, AffectEvent) and event.is_final]


async def test_the_servers_spans_stand_below_the_current_span_or_the_one_that_is_given(
    spans: Receiver,
) -> None:
    tracer = TracerProvider().get_tracer("agent")
    async with (
        running_server({"telemetry": {"traces": spans.url}}) as server,
        AffectClient(server.address) as client,
    ):
        with tracer.start_as_current_span("turn") as turn:
            current = turn.get_span_context()
            first = await talk(client)
            analysed = await client.analyze(sample_talk()[:32_000])
        given = await talk(client, StreamConfig(traceparent=GIVEN))
        nobodys = await talk(client)
    _, trace_id, span_id, _ = GIVEN.split("-")
    utterances = {
        span.attributes["affectstream.utterance.id"]: span for span in spans.named("affectstream.utterance")
    }
    for events, trace_of, parent in (
        (first, trace.format_trace_id(current.trace_id), trace.format_span_id(current.span_id)),
        (given, trace_id, span_id),
    ):
        assert len(events) >= 3
        for event in events:
            span = utterances[event.utterance_id]
            assert (span.trace_id, span.parent_id) == (trace_of, parent)
            told = event.traceparent.split("-")
            assert told[1:3] == [span.trace_id, span.span_id], "and the event says where to look"
    assert analysed.traceparent.split("-")[1] == trace.format_trace_id(current.trace_id)
    assert {utterances[event.utterance_id].parent_id for event in nobodys} == {""}


@pytest.mark.parametrize("wrong", ["00-abc-def-01", "00-" + 32 * "0" + "-a7ad6b7169203332-01", GIVEN.upper()])
async def test_a_traceparent_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="traceparent is"):
        StreamConfig(traceparent=wrong)
    async with AffectClient("127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="traceparent is"):
            await client.analyze(b"\0\0", traceparent=wrong)


async def test_its_own_metadata_wins() -> None:
    from affectstream import tracing

    own = grpc.aio.Metadata(("traceparent", GIVEN))
    assert list(tracing.added(own, GIVEN.replace("1af", "2af"))) == [("traceparent", GIVEN)]


async def test_what_the_caller_waited_is_recorded_with_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    samples = sample_talk()[: 16_000 * 5 // 2]
    async with running_server() as server, AffectClient(server.address) as client, client.stream() as stream:
        began = asyncio.get_running_loop().time()

        async def speak() -> None:
            for start in range(0, len(samples), 320):
                await asyncio.sleep(began + start / 16_000 - asyncio.get_running_loop().time())
                await stream.send(samples[start : start + 320])
            await stream.end()

        speaking = asyncio.create_task(speak())
        finals = [event async for event in stream if isinstance(event, AffectEvent) and event.is_final]
        await speaking
    points = {metric.name: list(metric.data.data_points) for metric in _metrics(reader)}
    provider.shutdown()
    [started] = points["affectstream.client.session_start.duration"]
    assert started.count == 1
    [endpoint] = points["affectstream.client.endpoint.duration"]
    assert endpoint.count == len(finals) >= 1
    hangover_s = [
        event.timing.hangover_ms / 1_000 for event in finals if event.timing and event.timing.hangover_ms
    ]
    by_status = points["affectstream.client.final.duration"]
    assert sum(point.count for point in by_status) == len(finals)
    told = {point.attributes["affectstream.status"] for point in by_status}
    assert told == {AffectStatus(event.status).name for event in finals}
    waited_s = sum(point.sum for point in by_status)
    assert sum(hangover_s) - 0.1 * len(finals) < waited_s < sum(hangover_s) + 5, (
        "at real time it holds the hang-over"
    )


def test_without_opentelemetry_nothing_of_it_is_imported() -> None:
    script = (
        "import sys, affectstream.client, affectstream.stream, affectstream.tracing as t\n"
        "assert t.headers() == ()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def _metrics(reader: InMemoryMetricReader) -> list[Any]:
    data = reader.get_metrics_data()
    assert data is not None
    return [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
