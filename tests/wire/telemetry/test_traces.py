"""Spans of a real server, as a real OTLP receiver gets them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.otlp import ERROR, Receiver, SeenSpan, receiver
from tests.support.speech import sample_talk
from tests.support.telemetry import CALLER, PARENT, TRACE, talk, tracing, until
from tests.support.wire import END, Request, audio, chunks, config, finals, refusal, running_server, stub

STAGES = {"affectstream.endpointing", "affectstream.decide", "affectstream.emit", "affectstream.publish"}


@pytest.fixture
def spans() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def conversation(**fields: Any) -> list[Request]:
    return [config(**fields), *chunks(sample_talk().tobytes()), END]


def nests(seen: Receiver, parent: SeenSpan) -> bool:
    return all(parent.holds(child) for children in seen.children(parent).values() for child in children)


async def test_every_utterance_has_one_whole_span_below_the_callers(spans: Receiver) -> None:
    async with tracing(spans) as server:
        events = finals(await talk(server, *conversation()))
    assert len(events) >= 3
    [stream] = spans.named("affectstream.stream")
    session_id = stream.attributes["affectstream.session.id"]
    assert {event.utterance_id.partition(".")[0] for event in events} == {session_id}
    assert (stream.trace_id, stream.parent_id, stream.status) == (TRACE, CALLER, 0)
    utterances = {
        span.attributes["affectstream.utterance.id"]: span for span in spans.named("affectstream.utterance")
    }
    assert set(utterances) == {event.utterance_id for event in events}
    for event in events:
        span = utterances[event.utterance_id]
        assert event.traceparent == span.traceparent
        assert (span.trace_id, span.parent_id) == (TRACE, CALLER), "the parent is the caller's"
        assert span.links == (stream.span_id,)
        assert span.attributes["affectstream.status"] == pb.AffectStatus.Name(event.status)[14:]
        children = spans.children(span)
        assert set(children) >= STAGES
        assert all(len(children[name]) == 1 for name in STAGES)
        assert nests(spans, span)
        assert children["affectstream.decide"][0].ms == pytest.approx(event.timing.decide_ms, abs=0.01)
        scores = children.get("affectstream.score", [])
        if event.timing.HasField("compute_ms"):
            assert scores[-1].ms == pytest.approx(event.timing.compute_ms, abs=0.01)
            assert len(children["affectstream.queue"]) >= len(scores)
    [end] = spans.named("affectstream.stream.end")
    assert end.attributes["rpc.response.status_code"] == "OK"
    assert end.attributes["affectstream.utterances"] == len(events)
    assert end.links == (stream.span_id,)


async def test_at_real_time_endpointing_is_as_long_as_the_event_says(spans: Receiver) -> None:
    samples = sample_talk()[: 16_000 * 5 // 2]
    async with tracing(spans) as server, stub(server.address) as service:
        call: Any = service.StreamAffect(metadata=PARENT)
        await call.write(config())
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, chunk in enumerate(chunks(samples.tobytes())):
            await asyncio.sleep(began + 0.02 * number - loop.time())
            await call.write(chunk)
        await call.write(END)
        await call.done_writing()
        [event, *_] = finals([response.event async for response in call])
    [span, *_] = spans.named("affectstream.utterance")
    endpointing = spans.children(span)["affectstream.endpointing"][0]
    timing = event.timing
    assert endpointing.ms == pytest.approx(timing.hangover_ms + timing.decision_ms, abs=0.01)
    assert endpointing.attributes["affectstream.hangover_ms"] == pytest.approx(timing.hangover_ms, abs=0.01)
    assert nests(spans, span)


async def test_a_caller_without_a_trace_gets_one_for_each_utterance(spans: Receiver) -> None:
    async with tracing(spans) as server:
        events = finals(await talk(server, *conversation(), metadata=()))
    utterances = spans.named("affectstream.utterance")
    assert len({span.trace_id for span in utterances}) == len(events)
    assert {span.parent_id for span in utterances} == {""}
    told = {event.traceparent.rpartition("-")[0] for event in events}  # flags may say that ids are random
    assert told == {span.traceparent.rpartition("-")[0] for span in utterances}


@pytest.mark.parametrize(
    ("flags", "ratio", "kept"), [("00", 1.0, False), ("01", 0.0, True), (None, 0.0, False)]
)
async def test_callers_decide_what_is_sampled_and_else_the_ratio(
    spans: Receiver, flags: str | None, ratio: float, kept: bool
) -> None:
    metadata = (("traceparent", f"00-{TRACE}-{CALLER}-{flags}"),) if flags else ()
    async with tracing(spans, sample_ratio=ratio) as server:
        events = finals(await talk(server, *conversation(), metadata=metadata))
    assert bool(spans.spans) is kept
    flags_told = {int(event.traceparent.rpartition("-")[2]) & 1 for event in events}
    assert flags_told == {int(kept)}, "it is continued"
    if flags:
        assert {event.traceparent.split("-")[1] for event in events} == {TRACE}


async def test_a_cancelled_stream_is_no_error_and_leaves_no_span_open(spans: Receiver) -> None:
    async with tracing(spans) as server:
        async with stub(server.address) as service:
            call: Any = service.StreamAffect(metadata=PARENT)
            for request in (config(), *chunks(sample_talk()[:24_000].tobytes())):
                await call.write(request)
            while not (await call.read()).event.HasField("speech_started"):
                pass
            call.cancel()
        await until(lambda: server.pipeline.streams == 0)
    [end] = spans.named("affectstream.stream.end")
    assert (end.attributes["rpc.response.status_code"], end.status) == ("CANCELLED", 0)
    [open_utterance] = spans.named("affectstream.utterance", affectstream__outcome="abandoned")
    assert open_utterance.status == 0
    assert nests(spans, open_utterance)


async def test_a_callers_deadline_is_an_error(spans: Receiver) -> None:
    async with tracing(spans) as server:
        async with stub(server.address) as service:
            call = service.StreamAffect(metadata=PARENT, timeout=0.4)
            await call.write(config())
            await call.read()
            assert (await call.code()).name == "DEADLINE_EXCEEDED"
        await until(lambda: server.pipeline.streams == 0)
    [end] = spans.named("affectstream.stream.end")
    assert (end.attributes["rpc.response.status_code"], end.status) == ("DEADLINE_EXCEEDED", ERROR)


async def test_refusals_say_why(spans: Receiver) -> None:
    async with tracing(spans) as server:
        await refusal(server.address, [audio(b"\0\0")])
        await refusal(server.address, [config(), audio(b"\0")])
    [refused] = spans.named("affectstream.stream", affectstream__reason="CONFIG_MUST_BE_FIRST")
    assert (refused.attributes["rpc.response.status_code"], refused.status) == ("INVALID_ARGUMENT", 0)
    [end] = spans.named("affectstream.stream.end")
    assert end.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert end.attributes["affectstream.reason"]


async def test_a_score_that_comes_too_late_is_an_error_of_its_utterance(spans: Receiver) -> None:
    scoring: dict[str, Any] = {"deadline_ms": 10, "speculate": False}
    async with running_server({"scoring": scoring, "telemetry": {"traces": spans.url}}) as server:
        scorer: Any = server.pipeline.router.default
        scorer._pool._threads.submit(time.sleep, 1.0)  # its one thread is busy
        events = finals(await talk(server, config(), *chunks(sample_talk()[:48_000].tobytes()), END))
    late = [event for event in events if event.status == pb.AFFECT_STATUS_DEADLINE_EXCEEDED]
    assert late
    for event in late:
        [span] = spans.named("affectstream.utterance", affectstream__utterance__id=event.utterance_id)
        assert (span.status, span.attributes["error.type"]) == (ERROR, "DEADLINE_EXCEEDED")
        assert spans.children(span)["affectstream.queue"][-1].attributes["error.type"] == "ScoreTooLate"


async def test_an_analysis_is_one_span_with_its_utterance_inside(spans: Receiver) -> None:
    form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    request = pb.AnalyzeUtteranceRequest(
        audio=form, data=sample_talk()[:32_000].tobytes(), utterance_id="Mary"
    )
    async with tracing(spans) as server, stub(server.address) as service:
        event = (await service.AnalyzeUtterance(request, metadata=PARENT)).event
    assert event.utterance_id == "Mary"
    [call] = spans.named("affectstream.analysis")
    assert (call.trace_id, call.parent_id) == (TRACE, CALLER)
    assert call.attributes["rpc.response.status_code"] == "OK"
    [utterance] = spans.children(call)["affectstream.utterance"]
    assert event.traceparent == utterance.traceparent
    assert set(spans.children(utterance)) == {
        "affectstream.queue",
        "affectstream.score",
        "affectstream.decide",
    }
    assert call.holds(utterance)
    assert nests(spans, utterance)
    assert not any(b"Mary" in body for body in spans.bodies), "it may be about a person"


@pytest.mark.parametrize("pii", [False, True])
async def test_what_may_be_personal_is_told_only_when_asked_for(spans: Receiver, pii: bool) -> None:
    asked = conversation(labels={"who": "Mary"}, language_code="de-AT", session_id="call-of-Mary")
    async with tracing(spans, pii=pii) as server:
        await talk(server, *asked)
    keys = {key for span in spans.spans for key in span.attributes}
    personal = {key for key in keys if ".pii." in key}
    assert bool(personal) is pii
    assert any(b"Mary" in body for body in spans.bodies) is pii
    assert any(b"de-AT" in body for body in spans.bodies) is pii
    told = "call-of-Mary" if pii else hashlib.sha256(b"call-of-Mary").hexdigest()[:12]
    for span in spans.named("affectstream.utterance"):
        assert span.attributes["affectstream.session.id"] == told
        assert str(span.attributes["affectstream.utterance.id"]).startswith(f"{told}.0."), "joined as ever"


async def test_a_resumed_session_goes_on_in_the_new_callers_trace(spans: Receiver) -> None:
    samples = sample_talk()
    asked = config(resumable=True, session_id="r")
    other = "1af7651916cd43dd8448eb211c80319d"
    async with tracing(spans) as server:
        async with stub(server.address) as service:
            call: Any = service.StreamAffect(metadata=PARENT)
            for request in (asked, *chunks(samples[:80_000].tobytes())):
                await call.write(request)
            started = (await call.read()).event.session_started
            await until(lambda: any(True for s in server.pipeline.sessions if s.hearing.frames == 80_000))
            call.cancel()
        await until(lambda: server.pipeline.sessions.lost == 1)
        asked.config.resume.CopyFrom(
            pb.Resume(session_id="r", resume_token=started.resume_token, audio_offset_samples=80_000)
        )
        metadata = (("traceparent", f"00-{other}-{CALLER}-01"),)
        await talk(server, asked, *chunks(samples[80_000:].tobytes()), END, metadata=metadata)
    first, second = sorted(spans.named("affectstream.stream"), key=lambda span: span.start_ns)
    assert [span.attributes["affectstream.session.epoch"] for span in (first, second)] == [1, 2]
    utterances = spans.named("affectstream.utterance")
    assert {span.trace_id for span in utterances} == {TRACE, other}
    for span in utterances:
        assert span.links == ((first if span.trace_id == TRACE else second).span_id,)
