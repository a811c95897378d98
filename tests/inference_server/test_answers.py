"""A model that answers badly, late or not at all: one final for each utterance, and nothing wrong in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.fallback import WithFallback
from tests.inference_server.conftest import Bench
from tests.support.triton import clip, one_final_each, scorer_of, seen, serving
from tests.support.waiting import waiting
from tests.support.wire import stream_talk

QUIET = {"canary_s": 60.0}
"""Looks so seldom that the utterances meet the fault first."""


@pytest.mark.fault("wrong answers")
@pytest.mark.parametrize("how", ["nan", "shape", "range", "raise"])
async def test_a_wrong_answer_is_discarded_and_counted(
    bench: Bench, told: Callable[[str], None], how: str
) -> None:
    async with serving(bench.triton.address, "told", triton=QUIET) as server:
        counts = scorer_of(server).counts
        told(how)
        events = one_final_each(await stream_talk(server.address, clip(6_000)))
        assert events
        assert {event.status for event in events} == {pb.AFFECT_STATUS_MODEL_ERROR}
        for event in events:
            assert not event.emotions
            assert event.status_detail
            assert "secret" not in event.status_detail
        if how != "raise":
            assert counts["discarded"] > 0
        await seen(lambda: server.pipeline.router.trouble)  # the failure made the watch look
        told("well")
        await seen(lambda: not server.pipeline.router.trouble)
        again = one_final_each(await stream_talk(server.address, clip(6_000)))
        assert {event.status for event in again} <= {pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED}


@pytest.mark.fault("Triton slow")
async def test_a_slow_model_costs_an_utterance_its_deadline_and_no_more(
    bench: Bench, told: Callable[[str], None], figure: Callable[[str], None]
) -> None:
    async with serving(
        bench.triton.address,
        "told",
        triton=QUIET | {"canary_timeout_ms": 5_000},
        scoring={"deadline_ms": 300},
    ) as server:
        told("sleep 0.8")
        async with waiting() as waited:
            events = one_final_each(await stream_talk(server.address, clip(3_000)))
            took_s = waited.seconds
        assert {event.status for event in events} == {pb.AFFECT_STATUS_DEADLINE_EXCEEDED}
        assert scorer_of(server).counts["too_late"] > 0
    figure(f"slow model, deadline 300 ms: {len(events)} finals after {took_s * 1_000:.0f} ms")
    assert took_s < 5 * 0.3 * len(events) + 1


@pytest.mark.fault("Triton slow")
async def test_the_breaker_spares_a_model_that_keeps_failing_and_lets_it_back(
    bench: Bench, told: Callable[[str], None]
) -> None:
    patient = QUIET | {"canary_timeout_ms": 10_000}
    async with serving(bench.triton.address, "told", triton=patient) as server:
        scorer = scorer_of(server)
        told("sleep 0.4")
        for number in range(5):
            with pytest.raises(Exception, match="no score within"):
                await scorer.score(f"u{number}", clip(500), 0.1)
        asked = scorer.counts["asked"]
        async with waiting() as waited:
            with pytest.raises(Exception, match="failed too often"):
                await scorer.score("u", clip(500), 5.0)
            assert waited.seconds < 0.5
        assert scorer.counts["asked"] == asked
        told("well")
        await asyncio.sleep(1.1)  # open, then half open
        answers = await asyncio.gather(
            *(scorer.score(f"p{number}", clip(500), 5.0) for number in range(4)), return_exceptions=True
        )
        assert sum(not isinstance(answer, Exception) for answer in answers) == 1  # the one probe
        await scorer.score("after", clip(500), 5.0)


@pytest.mark.fault("Triton dies")
async def test_a_crashed_backend_that_still_says_ready_stops_readiness(
    bench: Bench, told: Callable[[str], None]
) -> None:
    async with serving(bench.triton.address, "told") as server:
        told("crash")
        events = one_final_each(await stream_talk(server.address, clip(6_000)))
        assert events
        assert {event.status for event in events} == {pb.AFFECT_STATUS_MODEL_ERROR}
        await seen(lambda: server.pipeline.router.trouble)
        assert bench.triton.http("v2/health/ready") is not None
        told("well")
        reload = await asyncio.to_thread(bench.triton.http, "v2/repository/models/told/load", b"{}")
        assert reload is not None
        await seen(lambda: not server.pipeline.router.trouble)


async def test_a_full_queue_is_overload_and_is_not_retried(bench: Bench) -> None:
    async with serving(bench.triton.address, "short_queue", triton=QUIET) as server:
        bench.models.behave("short_queue", "sleep 0.2")
        scorer = scorer_of(server)
        try:
            answers = await asyncio.gather(
                *(scorer.score(f"u{number}", clip(500), 10.0) for number in range(20)), return_exceptions=True
            )
            failed = [answer for answer in answers if isinstance(answer, Exception)]
            assert 0 < len(failed) < 20
            assert {str(answer) for answer in failed} == {"the inference server's queue is full"}
            assert scorer.counts["retried"] == 0
            streams = [stream_talk(server.address, clip(2_500)) for _ in range(12)]
            events = [
                event for session in await asyncio.gather(*streams) for event in one_final_each(session)
            ]
        finally:
            bench.models.behave("short_queue", "well")
    statuses = {event.status for event in events}
    assert pb.AFFECT_STATUS_OVERLOADED in statuses
    assert statuses <= {pb.AFFECT_STATUS_OVERLOADED, pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED}
    assert not server.pipeline.router.trouble


@pytest.mark.fault("lost call")
async def test_a_stream_that_is_gone_takes_its_request_along(
    bench: Bench, told: Callable[[str], None]
) -> None:
    async with serving(bench.triton.address, "told", triton=QUIET) as server:
        scorer = scorer_of(server)
        told("sleep 0.5")
        before = bench.models.scored("told")
        first = asyncio.create_task(scorer.score("first", clip(500), 10.0))
        await asyncio.sleep(0.15)  # it computes; the rest waits
        waiting = [asyncio.create_task(scorer.score(f"u{number}", clip(500), 10.0)) for number in range(8)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await first
        told("well")
        await scorer.score("after", clip(500), 10.0)
        assert bench.models.scored("told") - before == 2


async def test_the_fallback_answers_and_says_so(bench: Bench, told: Callable[[str], None]) -> None:
    async with serving(bench.triton.address, "told", triton=QUIET | {"fallback": True}) as server:
        assert isinstance(server.pipeline.router.default, WithFallback)
        await seen(lambda: not scorer_of(server).trouble)  # the server was ready before Triton's model was
        first = one_final_each(await stream_talk(server.address, clip(6_000)))
        assert not any(event.model.fallback for event in first)
        told("nan")
        events = one_final_each(await stream_talk(server.address, clip(6_000)))
    assert len(events) == len(first)
    for event, usual in zip(events, first, strict=True):
        assert event.model.fallback
        assert "fallback" in event.status_detail
        assert event.status == usual.status
        assert event.top_label == usual.top_label
