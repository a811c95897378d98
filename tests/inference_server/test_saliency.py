"""Where a score rests, asked of a real Triton: the same spans as in this process, and nobody pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.inference_server.conftest import Bench
from tests.support.speech import sample_talk
from tests.support.triton import one_final_each, scorer_of, seen, serving
from tests.support.wire import running_server, stream_talk, stub

ASKED = pb.OutputConfig(saliency=True)
WAIT = {"saliency_wait_ms": 5_000}
TALK = sample_talk()[: 22 * 16_000]


async def test_spans_are_those_of_this_process(bench: Bench) -> None:
    # What is asked beside the score may keep Triton busy for longer than a canary waits.
    rare = {"canary_s": 60.0}
    async with (
        serving(bench.triton.address, outputs=WAIT, triton=rare) as server,
        running_server({"outputs": WAIT}) as local,
        stub(server.address) as service,
    ):
        info = await service.GetServerInfo(pb.GetServerInfoRequest())
        through = one_final_each(await stream_talk(server.address, TALK, outputs=ASKED))
        here = one_final_each(await stream_talk(local.address, TALK, outputs=ASKED))
    assert pb.FEATURE_SALIENCY in info.features
    assert len(through) == len(here) > 4
    assert any(final.saliency for final in here)
    for ours, theirs in zip(through, here, strict=True):
        assert [(span.audio_start, span.audio_end) for span in ours.saliency] == [
            (span.audio_start, span.audio_end) for span in theirs.saliency
        ]
        assert [span.weight for span in ours.saliency] == pytest.approx(
            [span.weight for span in theirs.saliency], abs=1e-3
        )


async def test_spans_are_where_a_model_says_that_it_looked_and_nothing_is_scored_again(bench: Bench) -> None:
    rare, plain = {"canary_s": 60.0}, {"speculate": False}
    async with serving(bench.triton.address, "attentive", outputs=WAIT, triton=rare, scoring=plain) as server:
        before = bench.models.scored("attentive")
        finals = one_final_each(await stream_talk(server.address, TALK, outputs=ASKED))
        scored = bench.models.scored("attentive") - before
        bare = one_final_each(await stream_talk(server.address, TALK[: 8 * 16_000]))
    told = [final for final in finals if final.emotions]
    assert scored == len(told) > 4
    for final in told:
        assert final.saliency
        assert final.saliency_method == pb.SALIENCY_METHOD_ATTENTION
        for span in final.saliency:
            assert span.weight == pytest.approx(loudness(final, span), abs=1e-3)
    assert not any(final.saliency or final.saliency_method for final in bare)


def loudness(final: pb.AffectEvent, span: pb.SalientSpan) -> float:
    """What of the utterance's attention lies in the span, as the model `attentive` looks."""
    times = (final.audio_start, final.audio_end, span.audio_start, span.audio_end)
    start, end, first, last = (round(time.ToNanoseconds() * 16 / 1e6) for time in times)
    padded = np.zeros(-(-(end - start) // 320) * 320, np.float32)
    padded[: end - start] = TALK[start:end]
    looked = np.repeat((padded.reshape(-1, 320) ** 2).mean(axis=1) + 10_000, 320)[: end - start]
    return float(looked[first - start : last - start].sum() / looked.sum())


async def test_a_model_whose_attention_has_another_rate_does_not_serve(bench: Bench) -> None:
    bench.models.behave("attentive", "frames")
    try:
        async with serving(bench.triton.address, "attentive", ready=False) as server:
            await seen(lambda: "FRAME_ATTENTION" in server.pipeline.router.trouble)
            assert "has shape [" in server.pipeline.router.trouble
            bench.models.behave("attentive", "well")
            await seen(lambda: not server.pipeline.router.trouble)
    finally:
        bench.models.behave("attentive", "well")


async def test_a_model_that_answers_late_costs_the_spans_and_not_the_score(
    bench: Bench, told: Callable[[str], None]
) -> None:
    quick, rare = {"saliency_wait_ms": 50}, {"canary_s": 60.0}
    async with serving(bench.triton.address, "told", outputs=quick, triton=rare) as server:
        told("sleep 0.15")
        finals = one_final_each(await stream_talk(server.address, TALK[: 8 * 16_000], outputs=ASKED))
        assert finals
        for final in finals:
            assert final.emotions
            assert not final.saliency
            assert "no saliency: not ready in time" in final.status_detail
        told("well")
        scorer = scorer_of(server)
        assert scorer.breaker.value == "closed", "nobody's score failed"
        async with asyncio.timeout(30):
            while scorer.pending:  # what was asked for in vain is given up, its places with it
                await asyncio.sleep(0.01)
