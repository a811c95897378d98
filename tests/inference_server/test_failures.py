"""Triton killed, frozen and restarted under open streams. Each test has a Triton of its own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from affectstream_server.scoring.scorer import ScoringError
from tests.support.speech import sample_talk
from tests.support.triton import clip, one_final_each, scorer_of, seen, serving
from tests.support.wire import END, Request, audio, config, stub
from tools.triton.server import Triton

GOOD = {pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED}
SPEED = 6.0


class OpenTalk:
    """The bundled talk, again and again on one stream until it is told to end, at `SPEED`."""

    def __init__(self, address: str) -> None:
        self.events: list[tuple[float, pb.SessionEvent]] = []
        self._end = False
        self._task = asyncio.create_task(self._run(address))

    @property
    def open_utterance(self) -> bool:
        kinds = [event.WhichOneof("event") for _, event in self.events]
        return kinds.count("speech_started") > kinds.count("speech_ended")

    def finals_since(self, moment: float) -> list[pb.AffectEvent]:
        return [
            event.affect
            for at, event in self.events
            if at >= moment and event.WhichOneof("event") == "affect" and event.affect.stage == pb.STAGE_FINAL
        ]

    async def end(self) -> list[pb.AffectEvent]:
        """End it in order; the finals, one for each utterance."""
        self._end = True
        await asyncio.wait_for(self._task, 30)
        return one_final_each([event for _, event in self.events])

    async def _run(self, address: str) -> None:
        async with stub(address) as service:
            async for response in service.StreamAffect(self._send()):
                self.events.append((time.perf_counter(), response.event))

    async def _send(self) -> AsyncIterator[Request]:
        yield config()
        talk = np.tile(sample_talk(), 20)
        began = time.perf_counter()
        for number, start in enumerate(range(0, len(talk), 1_600)):
            if self._end:
                break
            await asyncio.sleep(began + number * 0.1 / SPEED - time.perf_counter())
            yield audio(talk[start : start + 1_600].tobytes())
        yield END


async def recovered(server: Server, talk: OpenTalk) -> tuple[float, list[pb.AffectEvent]]:
    """Wait until the server is ready again and two more utterances went well; the wait for readiness."""
    waited = await seen(lambda: not server.pipeline.router.trouble, 10)
    moment = time.perf_counter()
    await seen(lambda: sum(event.status in GOOD for event in talk.finals_since(moment)) >= 2)
    return waited, talk.finals_since(moment)


@pytest.mark.fault("Triton dies")
async def test_killed_in_an_utterance_and_restarted(
    own_triton: Triton, figure: Callable[[str], None]
) -> None:
    await asyncio.to_thread(own_triton.start)
    async with serving(own_triton.address, scoring={"deadline_ms": 1_000}) as server:
        talk = OpenTalk(server.address)
        await seen(lambda: len(talk.finals_since(0)) >= 1 and talk.open_utterance)
        own_triton.kill(signal.SIGKILL)
        killed = time.perf_counter()
        await seen(lambda: len(talk.finals_since(killed)) >= 2)
        assert {event.status for event in talk.finals_since(killed)} == {pb.AFFECT_STATUS_MODEL_ERROR}
        assert server.pipeline.router.trouble
        await asyncio.to_thread(own_triton.start)
        waited, later = await recovered(server, talk)
        assert {event.status for event in later} <= GOOD
        finals = await talk.end()
    lost = sum(event.status not in GOOD for event in finals)
    figure(
        f"SIGKILL and restart: {len(finals)} utterances, one final each, {lost} of them MODEL_ERROR; "
        f"ready {waited:.2f} s after Triton is (wanted: 2)"
    )


@pytest.mark.fault("Triton dies")
async def test_killed_with_requests_on_the_way(own_triton: Triton, figure: Callable[[str], None]) -> None:
    await asyncio.to_thread(own_triton.start)
    async with serving(own_triton.address) as server:
        scorer = scorer_of(server)
        asked = [asyncio.create_task(scorer.score(f"u{n}", clip(4_000), 2.0)) for n in range(100)]
        await seen(lambda: any(task.done() for task in asked))
        own_triton.kill(signal.SIGKILL)
        began = time.perf_counter()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        took_s = time.perf_counter() - began
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(answer, ScoringError) for answer in failed)
        assert 0 < len(failed) < 100
        assert scorer.counts["retried"] <= 20  # a tenth of the calls, and ten
        assert scorer._gate.held == 0
    figure(f"SIGKILL with {len(failed)} requests on the way: all answered within {took_s * 1_000:.0f} ms")


@pytest.mark.fault("Triton dies")
async def test_frozen_and_thawed(own_triton: Triton, figure: Callable[[str], None]) -> None:
    await asyncio.to_thread(own_triton.start)
    async with serving(own_triton.address, scoring={"deadline_ms": 500}) as server:
        talk = OpenTalk(server.address)
        await seen(lambda: len(talk.finals_since(0)) >= 1 and talk.open_utterance)
        own_triton.kill(signal.SIGSTOP)
        try:
            frozen = time.perf_counter()
            await seen(lambda: server.pipeline.router.trouble, 10)
            noticed_s = time.perf_counter() - frozen
            await seen(lambda: len(talk.finals_since(frozen)) >= 2)
        finally:
            own_triton.kill(signal.SIGCONT)
        statuses = {event.status for event in talk.finals_since(frozen)}
        assert pb.AFFECT_STATUS_DEADLINE_EXCEEDED in statuses
        assert statuses <= {pb.AFFECT_STATUS_DEADLINE_EXCEEDED, pb.AFFECT_STATUS_MODEL_ERROR}
        waited, _ = await recovered(server, talk)
        finals = await talk.end()
    figure(
        f"SIGSTOP: noticed after {noticed_s:.1f} s, ready {waited:.2f} s after SIGCONT (wanted: 2); "
        f"{len(finals)} utterances, one final each"
    )


@pytest.mark.fault("Triton absent")
@pytest.mark.parametrize("fallback", [False, True])
async def test_never_there(own_triton: Triton, fallback: bool) -> None:
    """Without a fallback nothing is served; with one everything is, and says by whom."""
    async with serving(own_triton.address, ready=False, triton={"fallback": fallback}) as server:
        await asyncio.sleep(0.3)
        assert bool(server.pipeline.router.trouble) is not fallback
        if fallback:
            talk = OpenTalk(server.address)
            await seen(lambda: len(talk.finals_since(0)) >= 2)
            for event in await talk.end():
                assert event.status in GOOD
                assert event.model.fallback
                assert "fallback" in event.status_detail
