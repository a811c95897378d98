"""Where a score rests, asked of a real Triton: the same spans as in this process, and nobody pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.inference_server.conftest import Bench
from tests.support.speech import sample_talk
from tests.support.triton import one_final_each, scorer_of, serving
from tests.support.wire import running_server, stream_talk, stub

ASKED = pb.OutputConfig(saliency=True)
WAIT = {"saliency_wait_ms": 5_000}
TALK = sample_talk()[: 22 * 16_000]


async def test_spans_are_those_of_this_process(bench: Bench) -> None:
    async with (
        serving(bench.triton.address, outputs=WAIT) as server,
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
