"""Scoring before the endpoint changes when a final comes, never what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.embedded import EmbeddedScorer
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import Score
from affectstream_server.stages.decode import Samples
from tests.support.speech import sample_talk, talks
from tests.support.wire import (
    END,
    Request,
    chunks,
    config,
    exchange,
    finals,
    of_kind,
    running_server,
    seconds,
    stream_talk,
)

OFF = {"scoring": {"speculate": False}}
OFTEN = pb.OutputConfig(provisional_interval_ms=250)


def values(final: pb.AffectEvent) -> tuple[Any, ...]:
    return (
        seconds(final.audio_start),
        seconds(final.audio_end),
        final.status,
        [e.probability for e in final.emotions],
        final.dimensions.arousal,
        final.uncertainty.entropy,
    )


async def test_results_are_the_same_with_and_without(speech: Path) -> None:
    used = 0
    for talk in talks(speech)[:3]:
        async with running_server() as ahead, running_server(OFF) as plain:
            with_it = await stream_talk(ahead.address, talk.samples)
            without = await stream_talk(plain.address, talk.samples)
        assert [values(f) for f in finals(with_it)] == [values(f) for f in finals(without)]
        used += of_kind(with_it, "session_summary")[0].speculations_used
        assert used == 0 or any(f.timing.speculated for f in finals(with_it))
        assert of_kind(without, "session_summary")[0].speculations_used == 0
        assert not any(f.timing.speculated for f in finals(without))
    assert used > 0


async def test_a_speculated_final_leaves_with_its_endpoint() -> None:
    async with running_server() as server:

        async def as_slow_as_it_scores() -> AsyncIterator[Request]:
            yield config()
            for number, chunk in enumerate(chunks(sample_talk()[: 16_000 * 16].tobytes()), 1):
                yield chunk
                while (
                    any(session.hearing.frames < 320 * number for session in server.pipeline.sessions)
                    or server.pipeline.waiting
                    or server.pipeline.load.in_flight
                ):
                    await asyncio.sleep(0.001)
            yield END

        events = await exchange(server.address, as_slow_as_it_scores(), [])
    declared = {
        e.speech_ended.utterance_id: e.server_time.ToNanoseconds()
        for e in events
        if e.HasField("speech_ended")
    }
    lags_ms = [
        (e.server_time.ToNanoseconds() - declared[e.affect.utterance_id]) / 1e6
        for e in events
        if e.HasField("affect") and e.affect.timing.speculated
    ]
    assert len(lags_ms) >= 3
    assert min(lags_ms) <= 5 * 1.0, "a machine with other work delays some"


async def test_provisional_events_come_only_when_asked_for_and_never_after_the_final() -> None:
    async with running_server() as server:
        unasked = await stream_talk(server.address, sample_talk())
        asked = await stream_talk(server.address, sample_talk(), outputs=OFTEN)
    assert {a.stage for a in of_kind(unasked, "affect")} == {pb.STAGE_FINAL}
    provisional = [a for a in of_kind(asked, "affect") if a.stage == pb.STAGE_PROVISIONAL]
    assert provisional
    assert {p.trigger for p in provisional} <= {pb.TRIGGER_INTERVAL, pb.TRIGGER_PAUSE}
    ended: set[str] = set()
    for affect in of_kind(asked, "affect"):
        assert affect.utterance_id not in ended
        if affect.stage == pb.STAGE_FINAL:
            ended.add(affect.utterance_id)
        else:
            assert sum(e.probability for e in affect.emotions) == pytest.approx(1, abs=1e-5)
    ends = {f.utterance_id: seconds(f.audio_end) for f in finals(asked)}
    for p in provisional:
        assert seconds(p.audio_end) <= ends[p.utterance_id] + 0.1
    assert [values(f) for f in finals(asked)] == [values(f) for f in finals(unasked)]


async def test_a_score_that_is_late_for_its_endpoint_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_server() as server:
        plain = finals(await stream_talk(server.address, sample_talk()))
    score = EmbeddedScorer.score

    async def late(
        self: EmbeddedScorer,
        utterance_id: str,
        audio: Samples,
        timeout_s: float,
        ticket: Ticket,
        *,
        attention: bool = False,
    ) -> Score:
        await asyncio.sleep(0.05)
        return await score(self, utterance_id, audio, timeout_s, ticket, attention=attention)

    monkeypatch.setattr(EmbeddedScorer, "score", late)
    async with running_server() as server:
        slow = finals(await stream_talk(server.address, sample_talk()))
    assert [values(f) for f in slow] == [values(f) for f in plain]


async def test_under_load_only_finals_are_scored() -> None:
    async with running_server({"scoring": {"optional_below": 0}}) as server:
        events = await stream_talk(server.address, sample_talk(), outputs=OFTEN)
    assert {a.stage for a in of_kind(events, "affect")} == {pb.STAGE_FINAL}
    assert not any(f.timing.speculated for f in finals(events))
    assert len(finals(events)) == len(of_kind(events, "speech_ended"))


async def test_the_summary_counts_what_was_used_and_what_was_dropped() -> None:
    async with running_server({"scoring": {"speculate_every_ms": 0}}) as server:
        events = await stream_talk(server.address, sample_talk())
    summary = of_kind(events, "session_summary")[0]
    assert summary.speculations_used == sum(f.timing.speculated for f in finals(events))
    assert summary.speculations_used + summary.speculations_dropped >= len(finals(events))


async def test_silence_is_never_scored() -> None:
    async with running_server() as server:
        events = await stream_talk(server.address, np.zeros(16_000 * 5, np.int16), outputs=OFTEN)
    assert not of_kind(events, "affect")
    assert of_kind(events, "session_summary")[0].speculations_dropped == 0
