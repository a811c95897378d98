"""What a final waited for beside its score is told as such: in its event, its spans and the metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cues import saliency
from affectstream_server.lifecycle import Server
from tests.support.metrics import Scrape, scrape
from tests.support.otlp import ERROR, Receiver, receiver
from tests.support.speech import sample_talk
from tests.support.telemetry import talk
from tests.support.wire import END, chunks, config, finals, running_server, stub

BOTH = pb.OutputConfig(cues=True, saliency=True)
STAGE = "affectstream_stage_duration_seconds"
SAMPLES = sample_talk()[: 7 * 16_000]
"""Two utterances."""


@pytest.fixture
def spans() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def settings(spans: Receiver, *, speculate: bool, **outputs: int) -> dict[str, dict[str, Any]]:
    return {
        "telemetry": {"traces": spans.url, "metrics": True, "metrics_address": "127.0.0.1:0"},
        "scoring": {"speculate": speculate},
        "outputs": {"cues_wait_ms": 5_000, "saliency_wait_ms": 5_000, **outputs},
    }


async def said(server: Server, outputs: pb.OutputConfig | None = BOTH) -> list[pb.AffectEvent]:
    asked = config(outputs=outputs) if outputs is not None else config()
    events = finals(await talk(server, asked, *chunks(SAMPLES.tobytes()), END))
    scored = [event for event in events if event.top_label]
    assert scored
    return scored


def samples(event: pb.AffectEvent) -> int:
    ns: int = event.audio_end.ToNanoseconds() - event.audio_start.ToNanoseconds()
    return round(ns * 16 / 1e6)


def agree(spans: Receiver, events: list[pb.AffectEvent], seen: Scrape) -> None:
    """Events, spans and sums tell the same."""
    for event in events:
        [utterance] = spans.named("affectstream.utterance", affectstream__utterance__id=event.utterance_id)
        children = spans.children(utterance)
        [explain], [decide] = children["affectstream.explain"], children["affectstream.decide"]
        assert explain.ms == pytest.approx(event.timing.explain_ms, abs=0.01)
        assert decide.ms == pytest.approx(event.timing.decide_ms, abs=0.01)
        assert explain.end_ns == pytest.approx(decide.start_ns, abs=1_000)
        assert utterance.attributes["affectstream.explain_ms"] == event.timing.explain_ms
        [asked] = children["affectstream.saliency"]
        assert asked.attributes["affectstream.saliency.scores"] == len(saliency.holes(samples(event)))
        assert all(utterance.holds(child) for child in (explain, asked))
    assert seen.value(f"{STAGE}_count", stage="explain") == len(events)
    told = sum(event.timing.explain_ms for event in events) / 1_000
    assert seen.value(f"{STAGE}_sum", stage="explain") == pytest.approx(told, abs=1e-4)


async def test_a_final_that_waits_for_cues_says_so_and_not_that_it_decides(spans: Receiver) -> None:
    async with running_server(settings(spans, speculate=False)) as server:
        explainer: Any = server.pipeline.explainer
        explainer._pool._threads.submit(time.sleep, 1.5)  # its one thread is busy
        events = await said(server)
        seen = await scrape(server)
    assert events[0].timing.explain_ms > 400
    assert events[0].timing.decide_ms < 100
    agree(spans, events, seen)


async def test_what_was_there_before_the_endpoint_was_not_waited_for(spans: Receiver) -> None:
    async with running_server(settings(spans, speculate=True)) as server:
        events = await said(server)
        seen = await scrape(server)
    assert any(event.timing.speculated for event in events)
    assert all(event.timing.HasField("explain_ms") and event.timing.explain_ms >= 0 for event in events)
    agree(spans, events, seen)


async def test_saliency_that_does_not_come_in_time_is_an_error_of_its_span_alone(spans: Receiver) -> None:
    async with running_server(settings(spans, speculate=False, saliency_wait_ms=0)) as server:
        events = await said(server)
    late = spans.named("affectstream.saliency")
    assert len(late) == len(events)
    assert {(span.status, span.attributes["error.type"]) for span in late} == {(ERROR, "TimeoutError")}
    assert {span.status for span in spans.named("affectstream.utterance")} == {0}


async def test_who_asked_for_neither_waited_for_neither(spans: Receiver) -> None:
    async with running_server(settings(spans, speculate=True)) as server:
        events = await said(server, None)
        seen = await scrape(server)
    assert not any(event.timing.HasField("explain_ms") for event in events)
    assert spans.named("affectstream.explain") == spans.named("affectstream.saliency") == []
    assert seen.value(f"{STAGE}_count", stage="explain") == 0


async def test_an_analysis_tells_it_too(spans: Receiver) -> None:
    form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    data = SAMPLES[8_000:56_000].tobytes()
    request = pb.AnalyzeUtteranceRequest(audio=form, data=data, outputs=BOTH)
    async with running_server(settings(spans, speculate=True)) as server:
        async with stub(server.address) as service:
            event = (await service.AnalyzeUtterance(request, timeout=20)).event
        seen = await scrape(server)
    assert event.timing.explain_ms > 0
    [explain] = spans.named("affectstream.explain")
    assert explain.ms == pytest.approx(event.timing.explain_ms, abs=0.01)
    assert seen.value(f"{STAGE}_sum", stage="explain") == pytest.approx(
        event.timing.explain_ms / 1e3, abs=1e-4
    )
