"""Controls as a program calls them: acknowledged, refused by a warning, in order with the audio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from affectstream import (
    AffectClient,
    AffectEvent,
    AffectStatus,
    AffectStream,
    Channel,
    ControlDone,
    ControlWithoutEffect,
    Endpointing,
    EndpointingMode,
    Event,
    Gap,
    Outputs,
    SentControl,
    SessionClosed,
    SessionSummary,
    StreamConfig,
    Timeouts,
    TurnAffect,
    errors,
    events,
)
from affectstream.config import AudioFormat
from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.wire.client.helpers import STARTED, Call, Requests, odd_server, response

TALK = sample_talk()
CALLER = StreamConfig(endpointing=Endpointing(mode=EndpointingMode.CALLER))


async def play(stream: AffectStream, samples: Any, frame_samples: int = 320) -> None:
    for start in range(0, len(samples), frame_samples):
        await stream.send(samples[start : start + frame_samples])


async def rest(stream: AffectStream) -> list[Event]:
    await stream.end()
    return [event async for event in stream]


def finals(heard: list[Event]) -> list[AffectEvent]:
    return [event for event in heard if isinstance(event, AffectEvent) and event.is_final]


async def test_the_callers_own_bounds_are_the_utterances(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream(CALLER) as stream:
        await play(stream, TALK[: 16 * 800])
        begun = await stream.speech_started(position_samples=16 * 600)
        await play(stream, TALK[16 * 800 : 16 * 3_500])
        assert stream.position_samples == 16 * 3_500
        ended = await stream.speech_ended()
        assert (await begun.done()).position_samples == 16 * 600
        assert (await ended.done()).position_samples == 16 * 3_500
        heard = await rest(stream)
    (final,) = finals(heard)
    assert (final.audio_start.samples(16_000), final.audio_end.samples(16_000)) == (16 * 600, 16 * 3_500)
    done = [event.control_id for event in heard if isinstance(event, ControlDone)]
    assert done == [begun.control_id, ended.control_id], "they are among the events too"


@pytest.mark.parametrize("reader", ["before", "meanwhile", "after"])
async def test_an_acknowledgement_comes_whoever_reads_the_events(server_address: str, reader: str) -> None:
    heard: list[Event] = []
    async with AffectClient(server_address) as client, client.stream() as stream:
        reading = asyncio.create_task(_collect(stream, heard)) if reader != "after" else None
        await play(stream, TALK[: 16 * 2_000])
        flushed = await stream.flush()
        if reader == "before":
            while not any(isinstance(event, ControlDone) for event in heard):
                await asyncio.sleep(0.01)
        done = await flushed.done()
        assert done.control_id == flushed.control_id
        assert done is await flushed.done(), "it may be asked again"
        await stream.end()
        await (reading or _collect(stream, heard))
    assert [event.sequence for event in heard] == list(range(1, len(heard) + 1)), "none is lost"
    assert done in heard
    assert finals(heard)[0].trigger == pb.TRIGGER_CLIENT_FLUSH


async def test_many_wait_at_once_and_each_gets_its_own(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        sent = [await stream.turn_started("a"), await stream.flush(), await stream.turn_ended("a")]
        answers = await asyncio.gather(*(control.done() for control in sent), return_exceptions=True)
        await rest(stream)
    assert isinstance(answers[0], ControlDone)
    assert isinstance(answers[1], ControlWithoutEffect)
    assert isinstance(answers[2], ControlDone)
    assert [answers[0].control_id, answers[2].control_id] == [sent[0].control_id, sent[2].control_id]


Send = Callable[[AffectStream], Coroutine[Any, Any, SentControl]]
MISUSES: dict[str, tuple[Send, str]] = {
    "flush without speech": (lambda s: s.flush(), "CONTROL_WITHOUT_EFFECT"),
    "own detection where the server's is on": (lambda s: s.speech_started(), "WRONG_MODE"),
    "end of own detection where the server's is on": (lambda s: s.speech_ended(channel=0), "WRONG_MODE"),
    "no such channel": (lambda s: s.agent_speech_started(channel=3), "NO_SUCH_CHANNEL"),
    "far future": (lambda s: s.flush(position_samples=10**9), "POSITION_OUT_OF_RANGE"),
    "turn that is not open": (lambda s: s.turn_ended("t"), "TURN_NOT_OPEN"),
    "resumed in the past": (lambda s: s.resume(position_samples=0), "POSITION_OUT_OF_RANGE"),
}


@pytest.mark.parametrize("case", MISUSES)
async def test_a_control_without_effect_says_why_and_the_stream_goes_on(
    server_address: str, case: str
) -> None:
    send, code = MISUSES[case]
    async with AffectClient(server_address) as client, client.stream() as stream:
        await play(stream, np.zeros(3_200, np.int16))
        control = await send(stream)
        with pytest.raises(ControlWithoutEffect) as refused:
            await control.done()
        heard = await rest(stream)
    assert refused.value.reason == code
    assert refused.value.field == f"control.{control.kind}"
    assert not refused.value.retryable
    assert [event.code for event in heard if isinstance(event, events.Warning)] == [code]
    assert isinstance(heard[-1], SessionClosed)


async def test_a_turn_is_said_once_its_block_is_left(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        async with stream.turn("t1") as begun:
            await begun.done()
            await play(stream, TALK[: 16 * 7_200])
        with pytest.raises(ZeroDivisionError):
            async with stream.turn("t2"):
                await play(stream, TALK[16 * 7_200 : 16 * 10_400])
                raise ZeroDivisionError
        async with stream.turn("t3") as begun:
            assert (await begun.done()).position_samples == 16 * 10_400, "an exception has ended t2"
        heard = await rest(stream)
    turns = [event for event in heard if isinstance(event, TurnAffect)]
    assert [turn.turn_id for turn in turns] == ["t1", "t2", "t3"]
    assert turns[0].utterance_ids == tuple(f.utterance_id for f in finals(heard) if f.turn_id == "t1")
    assert len(turns[0].utterance_ids) == 2
    assert turns[2].utterance_ids == ()
    assert turns[2].top_probability is None
    for turn in turns[:2]:
        if turn.status == AffectStatus.OK:
            assert turn.top_probability == max(score.probability for score in turn.emotions)


@pytest.mark.parametrize("turn_id", ["", "x" * 65, "é" * 33])
async def test_a_turn_id_that_would_end_the_call_is_refused_here(server_address: str, turn_id: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        with pytest.raises(errors.InvalidRequest, match=r"1\.\.64"):
            await stream.turn_started(turn_id)
        assert isinstance((await rest(stream))[-1], SessionClosed)


async def test_the_agents_voice_makes_speech_a_barge_in(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        await (await stream.agent_speech_started()).done()
        await play(stream, TALK[: 16 * 4_200])
        await (await stream.agent_speech_ended()).done()
        await play(stream, TALK[16 * 4_200 : 16 * 7_200])
        heard = await rest(stream)
    assert [final.quality and final.quality.barge_in for final in finals(heard)] == [True, False]


async def test_a_pause_with_a_position_is_a_gap(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        await play(stream, TALK[: 16 * 2_000])
        await stream.pause()
        resumed = await stream.resume(position_samples=16 * 62_000)
        assert stream.position_samples == 16 * 62_000
        await play(stream, TALK[16 * 4_000 : 16 * 7_200])
        assert stream.position_samples == 16 * 65_200
        assert (await resumed.done()).position_samples == 16 * 62_000
        heard = await rest(stream)
    (gap,) = [event for event in heard if isinstance(event, Gap)]
    assert (gap.audio_start.seconds, gap.audio_end.seconds) == (2.0, 62.0)
    assert [final.audio_start.seconds >= 62 for final in finals(heard)] == [False, True]


async def test_numbered_audio_keeps_its_place(server_address: str) -> None:
    config = StreamConfig(audio=AudioFormat(sample_rate_hz=8_000))
    eighth = TALK[: 16 * 7_200 : 2]
    async with AffectClient(server_address) as client:
        async with client.stream(config) as stream:
            await play(stream, eighth)
            plain = finals(await rest(stream))
        async with client.stream(config) as stream:
            for start in range(0, len(eighth), 160):
                back = max(0, start - 100)
                await stream.send(eighth[back : start + 160], start_samples=back)  # an overlap
            await stream.send(eighth, start_samples=0)  # more than a message, and all of it is known
            await stream.send(np.zeros(800, np.int16))
            assert stream.position_samples == len(eighth) + 800
            await stream.send(np.zeros(800, np.int16), start_samples=len(eighth) + 1_600)
            heard = await rest(stream)
    assert [(f.audio_start, f.audio_end) for f in finals(heard)] == [
        (f.audio_start, f.audio_end) for f in plain
    ]
    (gap,) = [event for event in heard if isinstance(event, Gap)]
    assert gap.audio_start.samples(8_000) == len(eighth) + 800
    assert (gap.audio_end - gap.audio_start).samples(8_000) == 800


async def test_withdrawn_consent_takes_the_values_away(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        await (await stream.withdraw_consent()).done()
        await play(stream, TALK[: 16 * 4_200])
        heard = await rest(stream)
    assert [(f.status, f.emotions) for f in finals(heard)] == [(AffectStatus.CONSENT_WITHHELD, ())]


async def test_provisional_events_come_before_the_final_and_are_told_apart(server_address: str) -> None:
    config = StreamConfig(outputs=Outputs(provisional_interval_ms=500))
    async with AffectClient(server_address) as client, client.stream(config) as stream:
        assert stream.started.outputs.provisional_interval_ms == 500
        heard: list[Event] = []
        reading = asyncio.create_task(_collect(stream, heard))
        for start in range(0, 16 * 4_200, 1_600):
            await stream.send(TALK[start : start + 1_600])
            await asyncio.sleep(0.01)
        await stream.end()
        await reading
    said = [event for event in heard if isinstance(event, AffectEvent)]
    assert len(said) >= 3
    assert [event.is_final for event in said] == [False] * (len(said) - 1) + [True]
    assert len({event.utterance_id for event in said}) == 1
    (summary,) = [event for event in heard if isinstance(event, SessionSummary)]
    assert summary.speculations_used == sum(bool(e.timing and e.timing.speculated) for e in finals(heard))


async def test_both_channels_of_a_call_and_their_own_flush(server_address: str) -> None:
    config = StreamConfig(audio=AudioFormat(channel_count=2), channels=(Channel(index=0), Channel(index=1)))
    stereo = np.stack([TALK[: 16 * 3_000], TALK[16 * 4_000 : 16 * 7_000]], axis=1)
    async with AffectClient(server_address) as client, client.stream(config) as stream:
        await play(stream, stereo[: 16 * 2_000])
        await (await stream.flush(channel=1)).done()
        await play(stream, stereo[16 * 2_000 :])
        heard = await rest(stream)
    first = finals(heard)[0]
    assert (first.channel, first.trigger) == (1, pb.TRIGGER_CLIENT_FLUSH)
    assert {final.channel for final in finals(heard)} == {0, 1}


async def test_waiting_for_an_acknowledgement_that_does_not_come_is_bounded() -> None:
    async def mute(requests: Requests, call: Call) -> None:
        async for request in requests:
            if request.HasField("config"):
                await call.write(STARTED)

    async with (
        odd_server(mute) as address,
        AffectClient(address, timeouts=Timeouts(control_s=0.2)) as client,
        client.stream() as stream,
    ):
        flushed = await stream.flush()
        with pytest.raises(errors.TimedOut, match=r"flush_utterance c1 was not acknowledged within 0\.2 s"):
            await flushed.done()
        with pytest.raises(errors.TimedOut, match=r"0\.1 s"):
            await flushed.done(timeout_s=0.1)
        await stream.end()
        assert [event async for event in stream] == [stream.started], "the stream is whole"
        with pytest.raises(errors.StreamClosed, match="before flush_utterance c1"):
            await flushed.done()
        with pytest.raises(errors.StreamClosed):
            await stream.flush()


async def test_waiting_without_ever_reading_has_a_bound_and_loses_nothing() -> None:
    async def talkative(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(STARTED)
        for number in range(2, 4_202):
            await call.write(response(number, progress=pb.Progress()))
        async for _ in requests:
            pass

    async with odd_server(talkative) as address, AffectClient(address) as client, client.stream() as stream:
        flushed = await stream.flush()
        with pytest.raises(errors.ResourceExhausted, match="4096 events wait") as full:
            await flushed.done(timeout_s=30)
        assert full.value.reason == "EVENTS_UNREAD"
        heard = await rest(stream)
    assert [event.sequence for event in heard] == list(range(1, 4_202))


async def test_an_error_that_ends_the_call_is_told_to_who_waits_and_to_who_reads(server_address: str) -> None:
    config = StreamConfig(audio=AudioFormat(encoding=2))
    async with AffectClient(server_address) as client, client.stream(config) as stream:
        flushed = await stream.flush(position_samples=16_000)
        await stream.send(np.full(1_600, np.nan, np.float32))
        with pytest.raises(errors.InvalidRequest, match="nan"):
            await flushed.done()
        with pytest.raises(errors.InvalidRequest, match="nan"):
            await _collect(stream, [])
        assert [event async for event in stream] == []


async def _collect(stream: AffectStream, heard: list[Event]) -> None:
    async for event in stream:
        heard.append(event)  # noqa: PERF401  what came before an error counts
