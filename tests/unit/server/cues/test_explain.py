"""What stands beside a score comes in time or not at all: the final leaves either way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream.contract import ATTENTION_FRAME_SAMPLES
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cues.saliency import Span
from affectstream_server.explain import Explainer
from affectstream_server.scoring.embedded import EmbeddedScorer
from affectstream_server.scoring.load import Load, Ticket
from affectstream_server.scoring.router import Route, Router
from affectstream_server.scoring.scorer import Score, ScoringError
from affectstream_server.settings import load
from affectstream_server.stages.decide import Verdict, affect_event
from affectstream_server.stages.decode import Samples
from affectstream_server.stages.score import ScoringQueue, score_utterance
from affectstream_server.utterance import Utterance
from tests.support.speech import sample_talk
from tests.unit.server.test_score_and_decide import utterance

TALK = sample_talk()[round(0.6 * 16_000) : round(3.4 * 16_000)]


class Spoken(Route):
    """A real model; what it is asked beside scores waits, or fails."""

    wait_s = 0.0
    failure: Exception | None = None
    holes_asked = 0
    looks = False
    """Its scores have attention where that is asked for, as a model's that has it: on the second half."""

    async def score(
        self, utterance_id: str, audio: Samples, timeout_s: float, ticket: Ticket | None = None
    ) -> Score:
        score = await super().score(utterance_id, audio, timeout_s, ticket)
        if not (self.looks and self.attention):
            return score
        frames = np.arange(-(-len(audio) // ATTENTION_FRAME_SAMPLES))
        return replace(score, attention=(frames > len(frames) / 2).astype(np.float32))

    async def score_without(
        self, score: Score, audio: Samples, holes: Sequence[Span], ticket: Ticket, timeout_s: float
    ) -> NDArray[np.float32]:
        self.holes_asked += len(holes)
        await asyncio.sleep(self.wait_s)
        if self.failure is not None:
            raise self.failure
        return await super().score_without(score, audio, holes, ticket, timeout_s)


@pytest.fixture
async def route() -> AsyncIterator[Spoken]:
    model = EmbeddedScorer()
    yield Spoken(Router([model]))
    await model.close()


def said(number: int = 0, audio: Samples = TALK) -> Utterance:
    return replace(utterance(number), audio=audio)


async def explained(
    route: Route, said: Utterance, *, cues: bool = True, saliency: bool = True, **outputs: int
) -> tuple[Verdict, float]:
    """The verdict, and how long it took in seconds."""
    explainer = Explainer(load(environ={}, overrides={"outputs": outputs}))
    explaining = explainer.of(route, Load(8).share(), cues=cues, saliency=saliency)
    assert explaining is not None
    began = time.perf_counter()
    try:
        scoring = score_utterance(route, said, 5.0, Ticket())
        return await explaining.explained(said, scoring, began + 5.0), time.perf_counter() - began
    finally:
        explainer.close()


async def test_an_utterance_has_its_cues_its_spans_and_the_cues_inside_them(route: Spoken) -> None:
    verdict, _ = await explained(route, said(), cues_wait_ms=5_000, saliency_wait_ms=5_000)
    assert verdict.score is not None
    assert verdict.explanation is not None
    assert not verdict.explanation.missing
    assert {"pitch_median", "energy_mean", "speaking_rate"} <= set(verdict.explanation.cues)
    assert verdict.explanation.spans
    whole = verdict.explanation.cues["energy_mean"]
    parts = [side["energy_mean"] for side in (verdict.explanation.inside, verdict.explanation.outside)]
    assert min(parts) <= whole <= max(parts)


async def test_a_model_that_says_where_it_looked_is_not_asked_about_parts(route: Spoken) -> None:
    for looks, method in (
        (True, pb.SALIENCY_METHOD_ATTENTION),
        (False, pb.SALIENCY_METHOD_OCCLUSION),
    ):
        route.looks, route.holes_asked = looks, 0
        verdict, _ = await explained(route, said(), cues_wait_ms=5_000, saliency_wait_ms=5_000)
        assert verdict.explanation is not None
        assert verdict.explanation.inside, "cues are compared by either"
        assert (route.holes_asked == 0) == looks
        event = affect_event(verdict, route.model, embedding=False)
        assert event.saliency
        assert event.saliency_method == method
        if looks:
            middle = verdict.utterance.bounds.audio_start + len(TALK) / 2
            first = event.saliency[0].audio_start.ToNanoseconds() * 16 / 1e6
            assert first == pytest.approx(middle, abs=len(TALK) / 10)


async def test_who_asks_for_nothing_has_nothing_made(route: Spoken) -> None:
    explainer = Explainer(load(environ={}))
    assert explainer.of(route, Load(8).share(), cues=False, saliency=False) is None
    assert not route.attention, "nor is the model asked where it looked"
    explainer.close()


async def test_spans_that_are_late_are_left_out_and_the_cues_are_there(route: Spoken) -> None:
    route.wait_s = 30
    verdict, took_s = await explained(route, said(), cues_wait_ms=5_000, saliency_wait_ms=50)
    assert took_s < 5
    assert verdict.score is not None
    assert verdict.explanation is not None
    assert verdict.explanation.missing == "no saliency: not ready in time"
    assert verdict.explanation.cues
    assert not verdict.explanation.inside


async def test_the_deadline_holds_whatever_settings_would_wait_for(route: Spoken) -> None:
    route.wait_s = 30
    explainer = Explainer(load(environ={}, overrides={"outputs": {"saliency_wait_ms": 5_000}}))
    explaining = explainer.of(route, Load(8).share(), cues=False, saliency=True)
    verdicts: list[Verdict] = []
    queue = ScoringQueue(
        route,
        Load(8).share(),
        deadline_ms=600,
        deliver=verdicts.append,
        deliver_provisional=lambda *_: None,
    )
    queue.explaining = explaining
    began = time.perf_counter()
    queue.submit(said())
    await queue.drained()
    assert time.perf_counter() - began < 3
    assert verdicts[0].score is not None
    explainer.close()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ScoringError("the model failed"), "the model failed"),
        (ZeroDivisionError(), "it could not be measured"),
    ],
)
async def test_what_fails_is_named_and_the_score_stands(
    route: Spoken, failure: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    route.failure = failure
    verdict, _ = await explained(route, said(), cues=False)
    assert verdict.score is not None
    assert verdict.explanation is not None
    assert verdict.explanation.missing == f"no saliency: {reason}"
    assert ("ZeroDivisionError" in caplog.text) == isinstance(failure, ZeroDivisionError)


async def test_without_a_score_nothing_else_is_made(route: Spoken) -> None:
    verdict, _ = await explained(route, said(audio=np.zeros(31 * 16_000, np.int16)))
    assert verdict.score is None
    assert verdict.explanation is None
    assert route.holes_asked == 0


async def test_a_score_begun_ahead_has_its_explanation_when_the_endpoint_comes(route: Spoken) -> None:
    explainer = Explainer(load(environ={}, overrides={"outputs": {"cues_wait_ms": 5_000}}))
    verdicts: list[Verdict] = []
    provisional: list[Verdict] = []
    queue = ScoringQueue(
        route,
        Load(8).share(),
        deadline_ms=5_000,
        deliver=verdicts.append,
        deliver_provisional=lambda verdict, _: provisional.append(verdict),
    )
    queue.explaining = explainer.of(route, Load(8).share(), cues=True, saliency=False)
    queue.score_so_far(said())
    while not provisional:
        await asyncio.sleep(0.005)
    assert provisional[0].explanation is None, "it costs nothing where it is not sent"
    queue.speculate(said())
    await asyncio.sleep(0)
    queue.submit(said())
    await queue.drained()
    assert verdicts[0].speculated
    assert verdicts[0].explanation is not None
    assert verdicts[0].explanation.cues
    explainer.close()


async def test_a_score_that_is_dropped_takes_its_explanation_with_it(route: Spoken) -> None:
    route.wait_s = 30
    load_ = Load(8)
    explainer = Explainer(load(environ={}))
    queue = ScoringQueue(
        route,
        load_.share(),
        deadline_ms=60_000,
        deliver=lambda _: None,
        deliver_provisional=lambda *_: None,
    )
    queue.explaining = explainer.of(route, load_.share(), cues=True, saliency=True)
    queue.speculate(said())
    queue.speech_went_on(0, provisional=False)  # before it even began
    queue.speculate(said())
    while not route.holes_asked:
        await asyncio.sleep(0.005)
    assert load_.in_flight == 0, "where the score rests is no score in flight"
    queue.speech_went_on(0, provisional=False)
    await asyncio.sleep(0.05)
    assert queue.dropped == 2
    assert len(asyncio.all_tasks()) == 1
    explainer.close()
