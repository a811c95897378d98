"""A session outlives its stream: nothing is said twice, nothing is lost, and time does not shift."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import soxr

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from tests.support.speech import sample_talk
from tests.support.wire import (
    END,
    Request,
    config,
    finals,
    of_kind,
    running_server,
    seconds,
    stream_talk,
)
from tests.wire.resuming import asked, calling, frames, in_order, keep_talking, lost

TALK = sample_talk()
DATA = TALK.tobytes()
SECOND = 16_000


def speech_is_open(events: list[pb.SessionEvent]) -> bool:
    return len(of_kind(events, "speech_started")) > len(of_kind(events, "speech_ended"))


def heard_until(samples: int) -> Any:
    return lambda events: any(p.received_until_samples >= samples for p in of_kind(events, "progress"))


def bounds(events: list[pb.SessionEvent]) -> list[tuple[str, float, float]]:
    return [
        (final.utterance_id, seconds(final.audio_start), seconds(final.audio_end)) for final in finals(events)
    ]


async def test_a_talk_over_many_lines_is_the_talk_over_one() -> None:
    async with running_server() as server:
        whole = await stream_talk(server.address, TALK, session_id="talk")
        calls, first, position = [], asked(), 0
        step = len(TALK) // 7
        while position < len(TALK):
            async with calling(server.address, first) as call:
                calls.append(call)
                overlap = max(0, position - SECOND // 2) if position else 0
                assert call.started.accepted_until_samples == position or call is calls[0]
                await call.send(frames(DATA, overlap, min(position + step, len(TALK))))
                position += step
                if position >= len(TALK):
                    await call.send([END])
                    await call.call.done_writing()
                    assert await call.to_the_end() is grpc.StatusCode.OK
                    break
                await call.until(heard_until(position - 2 * SECOND))
                await heard(server, position)
            first = call.next(offset=max(0, position - SECOND // 2))
        events = in_order(calls)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1)), "no holes"
        assert bounds(events) == bounds(whole)
        assert [f.emotions for f in finals(events)] == [f.emotions for f in finals(whole)]
        assert not of_kind(events, "gap")
        assert [s.session_epoch for s in of_kind(events, "session_started")] == list(range(1, len(calls) + 1))
        summary = of_kind(events, "session_summary")[0]
        assert summary.utterances == len(finals(whole))


async def heard(server: Server, position: int) -> None:
    """Wait until the server has taken all that was sent."""
    (session,) = server.pipeline.sessions
    async with asyncio.timeout(30):
        while session.hearing.frames < position:
            await asyncio.sleep(0.005)


async def test_events_that_were_written_and_not_received_come_again() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as call:
            await call.send(frames(DATA, 0, 6 * SECOND))
            await call.until(heard_until(5 * SECOND))
            await heard(server, 6 * SECOND)
            missed = [e for e in call.events if e.sequence > 3]
            assert finals(missed)
            call.events = call.events[:3]
        await lost(server)
        async with calling(server.address, call.next(offset=6 * SECOND)) as second:
            await second.until(lambda events: len(events) > len(missed))
            assert second.started.resumed
            assert second.started.next_sequence == 4
            assert second.events[1 : 1 + len(missed)] == missed, "as they were, with their epoch"
            assert {event.epoch for event in second.events[1 : 1 + len(missed)]} == {1}


async def test_finals_that_were_due_while_nobody_listened_come_on_the_next_stream() -> None:
    async with running_server() as server:
        whole = await stream_talk(server.address, TALK, session_id="talk")
        end = of_kind(whole, "speech_ended")[0].decidable_at
        position = round(seconds(end) * SECOND) + 512
        async with calling(server.address, asked()) as call:
            await call.send(frames(DATA, 0, position))
            await heard(server, position)
        await lost(server)
        async with calling(server.address, call.next(offset=position)) as second:
            await second.until(finals)
            assert bounds(second.events)[:1] == bounds(whole)[:1]


async def test_without_the_last_sequence_nothing_comes_again() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as call:
            at = 4 * SECOND
            await call.send(frames(DATA, 0, at))
            await heard(server, at)
        await lost(server)
        async with calling(server.address, call.next(offset=at, with_events=False)) as second:
            await second.send(frames(DATA, at, at + 2 * SECOND))
            await second.until(heard_until(at + SECOND))
            assert {event.epoch for event in second.events} == {2}
            assert second.started.next_sequence == second.events[0].sequence + 1


async def test_audio_that_is_gone_is_a_gap_and_ends_the_open_utterance() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as call:
            position = 0
            while not speech_is_open(call.events):
                await call.send(frames(DATA, position, position + SECOND))
                position += SECOND
                await heard(server, position)
                await call.until(heard_until(position))
            open_id = of_kind(call.events, "speech_started")[-1].utterance_id
        await lost(server)
        async with calling(server.address, call.next(offset=position + SECOND)) as second:
            await second.until(lambda events: of_kind(events, "gap"))
            assert second.started.accepted_until_samples == position + SECOND
            gap = of_kind(second.events, "gap")[0]
            assert (seconds(gap.audio_start), seconds(gap.audio_end)) == (
                position / SECOND,
                position / SECOND + 1,
            )
            ended = of_kind(second.events, "speech_ended")[-1]
            assert (ended.utterance_id, ended.trigger) == (open_id, pb.TRIGGER_AUDIO_STALLED)


async def test_a_line_that_is_lost_does_not_end_the_open_utterance() -> None:
    async with running_server({"endpointing": {"stall_ms": 100}}) as server:
        async with calling(server.address, asked()) as call:
            position = 0
            while not speech_is_open(call.events):
                await call.send(frames(DATA, position, position + SECOND // 2))
                position += SECOND // 2
                await heard(server, position)
                await call.until(heard_until(position))
        await lost(server)
        await asyncio.sleep(0.3)
        async with calling(server.address, call.next(offset=position)) as second:
            await second.send(frames(DATA, position, position + SECOND // 4))
            await second.until(lambda events: len(events) > 1)
            assert not [
                e for e in of_kind(second.events, "speech_ended") if e.trigger == pb.TRIGGER_AUDIO_STALLED
            ]


async def test_the_rate_may_change_with_the_stream() -> None:
    async with running_server() as server:
        whole = await stream_talk(server.address, TALK, session_id="talk")
        half = len(TALK) // 2 // 640 * 640
        async with calling(server.address, asked()) as call:
            await call.send(frames(DATA, 0, half))
            await heard(server, half)
        await lost(server)
        rest = soxr.resample(TALK[half:], 16_000, 48_000).astype("<i2").tobytes()
        async with calling(server.address, call.next(offset=3 * half, rate_hz=48_000)) as second:
            assert second.started.audio.sample_rate_hz == 48_000
            assert second.started.accepted_until_samples == 3 * half
            await second.send([*frames(rest, 0, len(rest) // 2), END])
            await second.call.done_writing()
            assert await second.to_the_end() is grpc.StatusCode.OK
        found, wanted = bounds(in_order([call, second])), bounds(whole)
        # Resampled audio is not the same audio: a pause of one block may be bridged.
        assert len(wanted) - 1 <= len(found) <= len(wanted) + 1
        starts = [start for _, start, _ in wanted]
        assert all(min(abs(start - other) for other in starts) < 0.1 for _, start, _ in found)


async def test_an_ended_session_still_tells_its_end() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as call:
            await call.send(frames(DATA, 0, len(TALK)))
            await call.send([END])
            position = len(TALK)
            await heard(server, position)
        await lost(server)
        async with calling(server.address, call.next(offset=position - SECOND)) as second:
            await second.send(frames(DATA, position - SECOND, position))
            await second.send([END])
            await second.call.done_writing()
            assert await second.to_the_end() is grpc.StatusCode.OK
        events = in_order([call, second])
        assert of_kind(events, "session_closed")[-1].reason == pb.CLOSE_REASON_END_OF_AUDIO
        assert bounds(events) == bounds(await stream_talk(server.address, TALK, session_id="talk"))


@pytest.mark.parametrize("with_events", [False, True], ids=["nothing received", "all received"])
async def test_every_stream_of_a_session_that_is_over_ends_with_its_end(with_events: bool) -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as call:
            await call.send([END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
        for _ in range(2):
            async with calling(server.address, call.next(offset=0, with_events=with_events)) as again:
                await again.call.done_writing()
                assert await again.to_the_end() is grpc.StatusCode.OK
                started, closed = again.events
                assert closed == call.events[-1]
                assert started.session_started.next_sequence == closed.sequence
            call.events[0] = started


async def test_two_streams_of_one_session_the_newer_has_it_and_the_older_is_told() -> None:
    async with running_server() as server, calling(server.address, asked()) as first:
        await first.send(frames(DATA, 0, 2 * SECOND))
        await first.until(heard_until(SECOND))
        position = 2 * SECOND
        await heard(server, position)
        async with calling(server.address, first.next(offset=position)) as second:
            assert await first.to_the_end() is grpc.StatusCode.ABORTED
            assert first.events[-1].session_closed.reason == pb.CLOSE_REASON_SUPERSEDED
            await second.send(frames(DATA, position, position + 2 * SECOND))
            await second.until(heard_until(position + SECOND))
            assert server.pipeline.streams == 1


async def test_a_control_that_is_sent_again_takes_effect_once() -> None:
    async with running_server() as server:
        turn = Request(control=pb.Control(control_id="t1", turn_started=pb.TurnStarted(turn_id="turn")))
        async with calling(server.address, asked()) as call:
            await call.send([*frames(DATA, 0, SECOND), turn])
            await call.until(lambda events: of_kind(events, "control_done"))
            del call.events[-1]
        await lost(server)
        async with calling(server.address, call.next(offset=SECOND)) as second:
            await second.send([turn, *frames(DATA, SECOND, 3 * SECOND)])
            await second.until(heard_until(2 * SECOND))
            assert [d.control_id for d in of_kind(second.events, "control_done")] == ["t1"], "the first one's"
            assert not of_kind(second.events, "warning")


async def test_values_withheld_stay_withheld_when_they_come_again() -> None:
    async with running_server() as server:
        withdrawn = Request(control=pb.Control(control_id="c", consent_withdrawn=pb.ConsentWithdrawn()))
        async with calling(server.address, asked()) as call:
            await call.send(frames(DATA, 0, 6 * SECOND))
            await call.until(finals)
            await call.send([withdrawn])
            at = 6 * SECOND
            await call.until(lambda events: of_kind(events, "control_done"))
            call.events = call.events[:1]
        await lost(server)
        async with calling(server.address, call.next(offset=at)) as second:
            await second.until(finals)
            assert all(f.status == pb.AFFECT_STATUS_CONSENT_WITHHELD for f in finals(second.events))
            assert not any(f.emotions for f in finals(second.events))


async def test_a_token_whose_answer_was_lost_still_works() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as first:
            pass
        for _ in range(3):  # no client saw what these answered
            async with calling(server.address, first.next(offset=0)) as call:
                assert call.started.resumed


@pytest.mark.parametrize("resumable", [True, False])
async def test_a_stream_at_its_age_limit_is_announced_and_ends(resumable: bool) -> None:
    async with running_server({"server": {"stream_age_s": 3.0, "drain_s": 1.0}}) as server:
        async with calling(server.address, config(resumable=resumable, session_id="talk")) as call:
            keep = asyncio.create_task(keep_talking(call))
            assert await call.to_the_end() is grpc.StatusCode.UNAVAILABLE
            keep.cancel()
            closing = of_kind(call.events, "session_closing")[0]
            assert closing.reason == pb.CLOSE_REASON_STREAM_AGE
            assert call.events[-1].session_closed.reason == pb.CLOSE_REASON_STREAM_AGE
            ids = [started.utterance_id for started in of_kind(call.events, "speech_started")]
            assert (ids[-1] in [f.utterance_id for f in finals(call.events)]) is not resumable
        assert server.pipeline.sessions.lost == int(resumable)
