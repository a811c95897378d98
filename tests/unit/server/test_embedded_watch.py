"""The model of this process is watched: wrong answers and stuck threads take it out, and it comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import onnxruntime
import pytest

from affectstream_server.scoring.canary import canary_audio
from affectstream_server.scoring.embedded import EmbeddedScorer, ModelRejected
from affectstream_server.scoring.scorer import ScorerUnavailable, ScoreTooLate
from tests.support.constant_model import constant_model

PERIOD_S = 0.2
LIVENESS_S = 5 * 2 * PERIOD_S


@asynccontextmanager
async def watched(threads: int = 1) -> AsyncIterator[EmbeddedScorer]:
    scorer = EmbeddedScorer(canary_s=PERIOD_S, threads=threads)
    changes.clear()
    scorer.start(lambda: changes.append(scorer.trouble))
    try:
        yield scorer
    finally:
        await scorer.close()


changes: list[str] = []
"""What `trouble` became, each time that it changed."""


async def seen(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIVENESS_S):
        while not condition():
            await asyncio.sleep(0.01)


def _session(content: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


async def test_a_model_that_is_well_stays_ready_and_tells_of_no_change() -> None:
    async with watched() as scorer:
        await asyncio.sleep(4 * PERIOD_S)
        assert (scorer.trouble, changes) == ("", [])


async def test_a_model_whose_answers_go_wrong_is_out_until_they_are_right() -> None:
    async with watched() as scorer:
        good = scorer._session
        scorer._session = _session(constant_model(scorer.model.embedding_size))
        await seen(lambda: scorer.trouble)
        assert "the known sound gave probabilities" in scorer.trouble
        with pytest.raises(ScorerUnavailable):
            await scorer.score("u", canary_audio(), 1.0)
        scorer._session = good
        await seen(lambda: not scorer.trouble)
        assert len(changes) == 2
        assert (await scorer.score("u", canary_audio(), 1.0)).model.name == scorer.name


async def test_threads_that_hang_are_found_and_asked_no_more_than_once_each() -> None:
    go_on = threading.Event()
    async with watched(threads=2) as scorer:
        for _ in range(2):
            scorer._pool._threads.submit(go_on.wait, 30)
        with pytest.raises(ScoreTooLate):
            await scorer.score("u", canary_audio(), PERIOD_S / 10)
        await seen(lambda: scorer.trouble)
        assert "no score for" in changes[0]
        await asyncio.sleep(4 * PERIOD_S)
        assert len(scorer._pool._waiting) <= 2
        go_on.set()
        await seen(lambda: not scorer.trouble)


async def test_a_queue_that_is_full_and_moves_is_no_trouble() -> None:
    async with watched() as scorer:
        until = asyncio.get_running_loop().time() + 4 * PERIOD_S

        async def ask() -> None:
            while asyncio.get_running_loop().time() < until:
                await scorer.score("u", canary_audio(), 5.0)

        await asyncio.gather(*(ask() for _ in range(64)))
        assert changes == []


async def test_one_thread_of_two_is_enough() -> None:
    go_on = threading.Event()
    async with watched(threads=2) as scorer:
        scorer._pool._threads.submit(go_on.wait, 30)
        await asyncio.sleep(4 * PERIOD_S)
        assert changes == []
        go_on.set()


def test_a_model_that_hears_nothing_is_rejected_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(constant_model())
    with pytest.raises(ModelRejected, match=r"model\.onnx: silence and the known sound gave the same"):
        EmbeddedScorer(tmp_path)
