"""Many utterances that end together: none lost, none twice, and Triton batches them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.decode import Samples
from tests.inference_server.conftest import Bench
from tests.support.triton import clip, one_final_each, scorer_of, serving
from tests.support.wire import END, Request, chunks, config, stub


async def test_200_utterances_that_end_at_once(bench: Bench, figure: Callable[[str], None]) -> None:
    streams = 200
    heard, go = 0, asyncio.Event()

    async def talk(service: object, number: int) -> tuple[list[pb.SessionEvent], float]:
        nonlocal heard

        async def send() -> AsyncIterator[Request]:
            nonlocal heard
            yield config()
            for chunk in chunks(clip(1_200 + 5 * number).tobytes(), 6_400):
                yield chunk
            heard += 1
            if heard == streams:
                go.set()
            await go.wait()
            yield END

        events: list[pb.SessionEvent] = []
        done = 0.0
        async for response in service.StreamAffect(send()):  # type: ignore[attr-defined] # the raw stub
            events.append(response.event)
            if response.event.WhichOneof("event") == "affect":
                done = time.perf_counter()
        return events, done

    # 200 streams at once are late on a busy machine: that must not cut an utterance in two.
    patient = {"stall_ms": 20_000}
    sections: dict[str, Any] = {"scoring": {"speculate": False}, "endpointing": patient}
    async with serving(bench.triton.address, triton={"canary_s": 60.0}, **sections) as server:
        before = bench.triton.metrics("affect_embedded")
        async with stub(server.address) as service:
            talks = asyncio.gather(*(talk(service, number) for number in range(streams)))
            await go.wait()
            ended = time.perf_counter()
            answers = await talks
        after = bench.triton.metrics("affect_embedded")
    statuses = Counter(event.status for events, _ in answers for event in one_final_each(events))
    assert sum(statuses.values()) == streams
    assert set(statuses) <= {pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED}
    took_s = max(done for _, done in answers) - ended
    batch = _batch(before, after)
    figure(f"200 utterances end at once: all finals after {took_s:.2f} s, mean batch {batch:.1f}")


async def test_utterances_of_different_lengths_share_batches(
    bench: Bench, figure: Callable[[str], None]
) -> None:
    rng = random.Random(5)  # noqa: S311 - lengths and moments, no secret
    async with serving(bench.triton.address, triton={"canary_s": 60.0}) as server:
        scorer = scorer_of(server)

        async def end(number: int, after_s: float, audio: Samples) -> None:
            await asyncio.sleep(after_s)
            await scorer.score(f"u{number}", audio, 10.0)

        before = bench.triton.metrics("affect_embedded")
        for _ in range(3):
            clips = [
                clip(length_ms) for length_ms in rng.sample(range(400, 12_000), 64)
            ]  # before their 20 ms
            await asyncio.gather(
                *(end(number, rng.uniform(0, 0.020), audio) for number, audio in enumerate(clips))
            )
        after = bench.triton.metrics("affect_embedded")
    assert after["nv_inference_count"] - before["nv_inference_count"] == 3 * 64
    batch = _batch(before, after)
    figure(
        f"64 utterances of different lengths within 20 ms, 3 times: mean batch {batch:.1f} (wanted: above 4)"
    )
    assert batch > 4


def _batch(before: dict[str, float], after: dict[str, float]) -> float:
    """Triton's own mean batch between two readings."""
    inferences, runs = (
        after[name] - before[name] for name in ("nv_inference_count", "nv_inference_exec_count")
    )
    return inferences / runs
