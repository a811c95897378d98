"""With a real Triton that traces too: its spans, ours, the events and the metrics agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from tests.support.metrics import scrape
from tests.support.otlp import ERROR, Receiver, SeenSpan, receiver
from tests.support.speech import sample_talk
from tests.support.triton import Repository, clip, seen, serving
from tests.support.wire import END, chunks, config, finals, stub
from tools.triton.server import Triton

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = (("traceparent", f"00-{TRACE}-{CALLER}-01"),)
SLOW_S = 0.5
_LATE_MS = 5 * 20.0
"""Triton ends its span after its answer has gone out, in a thread that a busy machine lets wait."""
_APART_MS = 5 * 2.0
"""Two readings of the clock around one thing; the slow call takes fifty times as long."""


class Traced:
    """A Triton whose spans go where the server's do."""

    def __init__(self, triton: Triton, models: Repository, spans: Receiver) -> None:
        self.triton = triton
        self.models = models
        self.spans = spans

    def serving(self, **sections: Any) -> AbstractAsyncContextManager[Server]:
        """The server before it, which tells all it can."""
        telemetry = {"traces": self.spans.url, "metrics": True, "metrics_address": "127.0.0.1:0"}
        return serving(self.triton.address, "told", telemetry=telemetry, **sections)


@pytest.fixture(scope="module")
def running(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder: Path = tmp_path_factory.mktemp("traced")
    models = Repository(folder / "models")
    models.add("told")
    with receiver() as spans:
        options = (
            *("--trace-config", "mode=opentelemetry"),
            *("--trace-config", f"opentelemetry,url={spans.url}/v1/traces"),
            *("--trace-config", "opentelemetry,bsp_schedule_delay=200"),
            *("--trace-config", "level=TIMESTAMPS"),
            # Above 1, some of those that carry a traceparent are left out where several come at once.
            *("--trace-config", "rate=1"),
        )
        triton = Triton(
            folder / "triton.log", models=("told",), repositories=(models.folder,), options=options
        )
        triton.start()
        try:
            yield Traced(triton, models, spans)
        finally:
            triton.stop()


@pytest.fixture
def traced(running: Traced) -> Iterator[Traced]:
    running.spans.spans.clear()
    yield running
    running.models.behave("told", "well")


async def talk(server: Server, *, cancel: bool = False, **fields: Any) -> list[pb.AffectEvent]:
    """The bundled talk as fast as it is taken; or left after its first utterance has begun."""
    async with stub(server.address) as service:
        call: Any = service.StreamAffect(metadata=PARENT)
        for request in (config(**fields), *chunks(sample_talk().tobytes())):
            await call.write(request)
        if cancel:
            while not (await call.read()).event.HasField("speech_started"):
                pass
            call.cancel()
            return []
        await call.write(END)
        await call.done_writing()
        return finals([response.event async for response in call])


async def test_every_call_of_triton_is_joined_by_its_request_id(traced: Traced, figure: Any) -> None:
    """This Triton loses the trace context of some calls that come close together, and never a request id."""
    # It is looked at so seldom that an utterance meets the fault first.
    async with traced.serving(triton={"canary_s": 60}) as server:
        talks = await asyncio.gather(*(talk(server, session_id=f"mary-{n}") for n in range(3)))
        await asyncio.gather(*(talk(server, cancel=True) for _ in range(3)))
        traced.models.behave("told", "raise")
        failed = await talk(server)
        await seen(lambda: server.pipeline.streams == 0)
    events = [event for events in talks for event in events]
    assert len(events) >= 9
    assert {event.status for event in failed} >= {pb.AFFECT_STATUS_MODEL_ERROR}

    ours = traced.spans.named("affectstream.triton")
    answered = [span for span in ours if span.attributes["affectstream.outcome"] == "answered"]
    assert len(answered) >= sum(event.timing.HasField("compute_ms") for event in events)
    ids = [span.attributes["triton.request_id"] for span in ours]
    assert len(set(ids)) == len(ids), "one id a call"
    asked = {span.attributes["triton.request_id"] for span in answered}
    await seen(lambda: asked <= requests(traced.spans).keys())
    theirs = requests(traced.spans)
    for span in answered:
        joined = theirs[span.attributes["triton.request_id"]]
        assert span.trace_id == TRACE
        assert span.holds(joined, late_ms=_LATE_MS)
    assert not [span for span in traced.spans.spans if "mary" in str(span.attributes)], "theirs neither"
    with_parent = sum(theirs[key].trace_id == TRACE for key in asked)
    assert with_parent > len(asked) / 2, "where it arrives, theirs are below ours"
    figure(f"Triton's spans: {len(asked)} of {len(asked)} by request id, {with_parent} in the caller's trace")
    for event in failed:
        if event.status == pb.AFFECT_STATUS_MODEL_ERROR:
            [span] = traced.spans.named(
                "affectstream.utterance", affectstream__utterance__id=event.utterance_id
            )
            assert (span.status, span.attributes["error.type"]) == (ERROR, "MODEL_ERROR")
    broken = [span for span in ours if span.attributes["affectstream.outcome"] == "Broken"]
    assert broken
    assert {span.status for span in broken} == {ERROR}
    for utterance in traced.spans.named("affectstream.utterance"):
        for children in traced.spans.children(utterance).values():
            assert all(utterance.holds(child) for child in children)


def requests(spans: Receiver) -> dict[str, SeenSpan]:
    """Triton's spans by request id; not those of the looks at the model."""
    return {
        span.attributes["triton.request_id"]: span
        for span in spans.spans
        if span.service == "triton-inference-server"
        and span.attributes.get("triton.request_id", "canary") != "canary"
    }


async def test_of_a_slow_utterance_event_spans_and_histograms_say_where_it_was_slow(
    traced: Traced, figure: Any
) -> None:
    """Triton takes its time, one request after another: the first computes longer, the second also waits."""
    scoring, triton = {"speculate": False}, {"max_in_flight": 1, "canary_s": 60, "canary_timeout_ms": 5_000}
    form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    analysis = pb.AnalyzeUtteranceRequest(audio=form, data=clip(1_500).tobytes())
    async with traced.serving(scoring=scoring, triton=triton) as server:
        traced.models.behave("told", f"sleep {SLOW_S}")
        events = await talk(server)
        async with stub(server.address) as service:
            await asyncio.gather(*(service.AnalyzeUtterance(analysis, metadata=PARENT) for _ in range(2)))
        metrics = await scrape(server)
    slow = [event for event in events if event.timing.HasField("compute_ms")]
    assert len(slow) >= 3
    await seen(lambda: len(requests(traced.spans)) >= len(slow) + 2)

    spent = {"compute": 0.0, "queue": 0.0}
    for event in slow:
        [span] = traced.spans.named("affectstream.utterance", affectstream__utterance__id=event.utterance_id)
        children = traced.spans.children(span)
        [call], [waiting] = children["affectstream.triton"], children["affectstream.queue"]
        inside = requests(traced.spans)[call.attributes["triton.request_id"]]
        assert event.timing.compute_ms >= 1_000 * SLOW_S
        assert call.ms == pytest.approx(event.timing.compute_ms, abs=_APART_MS)
        assert call.holds(inside, late_ms=_LATE_MS)
        assert inside.ms >= 1_000 * SLOW_S, "Triton's own span says the same"
        assert waiting.ms == pytest.approx(event.timing.queue_ms, abs=5)
        assert span.attributes["affectstream.compute_ms"] == pytest.approx(event.timing.compute_ms, abs=0.01)
        [endpoint] = children["affectstream.endpointing"]
        late_ms = (span.end_ns - endpoint.end_ns) / 1e6
        explained_ms = event.timing.queue_ms + event.timing.compute_ms
        assert explained_ms >= 0.9 * late_ms, "that is where it was slow"
        spent["compute"] += event.timing.compute_ms / 1_000
        spent["queue"] += event.timing.queue_ms / 1_000
        figure(f"slow utterance: {late_ms:.0f} ms late, of them compute and queue {explained_ms:.0f} ms")
    analysed = [
        span.attributes["affectstream.compute_ms"] / 1_000
        for span in traced.spans.named("affectstream.utterance")
        if "affectstream.session.id" not in span.attributes
    ]
    name = "affectstream_stage_duration_seconds"
    total = metrics.value(f"{name}_sum", stage="compute")
    assert total == pytest.approx(spent["compute"] + sum(analysed), abs=0.001)
    assert metrics.value(f"{name}_count", stage="compute") == len(slow) + len(analysed)
    assert metrics.value(f"{name}_sum", stage="queue") == pytest.approx(spent["queue"], abs=0.001)
    found = {labels["trace_id"] for labels in metrics.exemplars(name, stage="compute")}
    assert found == {TRACE}
    assert metrics.value("affectstream_triton_calls_total", outcome="asked") >= len(slow) + 2
    assert metrics.value("affectstream_triton_breaker", state="closed") == 1


async def test_a_call_that_waits_and_is_dropped_is_no_error(traced: Traced) -> None:
    async with traced.serving(scoring={"speculate": False}) as server:
        traced.models.behave("told", "sleep 1")
        async with stub(server.address) as service:
            call: Any = service.StreamAffect(metadata=PARENT)
            for request in (config(), *chunks(sample_talk()[:48_000].tobytes())):
                await call.write(request)
            while not (await call.read()).event.HasField("speech_ended"):
                pass
            await asyncio.sleep(0.2)
            call.cancel()
        await seen(lambda: server.pipeline.streams == 0)
        telemetry: Any = server.telemetry
        await seen(lambda: telemetry.tracing.counts["open"] == 0)
    dropped = traced.spans.named("affectstream.triton", affectstream__outcome="dropped")
    assert dropped
    assert {span.status for span in dropped} == {0}
    [utterance, *_] = traced.spans.named("affectstream.utterance", affectstream__outcome="abandoned")
    assert utterance.status == 0
    assert utterance.holds(dropped[0])
