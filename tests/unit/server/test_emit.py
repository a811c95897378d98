"""The event queue: bounded, in order, without holes, and finals are the last to go."""

from __future__ import annotations

import asyncio

import pytest

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import LimitReached
from affectstream_server.stages.emit import EventQueue


def final(size_bytes: int = 100) -> pb.SessionEvent:
    return pb.SessionEvent(affect=pb.AffectEvent(stage=pb.STAGE_FINAL, utterance_id="x" * size_bytes))


def provisional(size_bytes: int = 100) -> pb.SessionEvent:
    return pb.SessionEvent(affect=pb.AffectEvent(stage=pb.STAGE_PROVISIONAL, utterance_id="x" * size_bytes))


def progress() -> pb.SessionEvent:
    return pb.SessionEvent(progress=pb.Progress(received_until_samples=1))


async def written(queue: EventQueue) -> list[pb.SessionEvent]:
    events: list[pb.SessionEvent] = []

    async def write(data: bytes) -> None:
        events.append(pb.StreamAffectResponse.FromString(data).event)

    queue.close()
    await queue.write_all(write)
    return events


async def test_events_leave_in_order_with_an_envelope() -> None:
    queue = EventQueue("s")
    for event in (final(), progress(), final()):
        queue.put(event)
    events = await written(queue)
    assert [event.sequence for event in events] == [1, 2, 3]
    assert {(event.session_id, event.epoch) for event in events} == {("s", 1)}
    times = [event.server_time.ToNanoseconds() for event in events]
    assert times == sorted(times)
    assert times[0] > 0


@pytest.mark.fault("slow reader")
async def test_provisional_and_progress_go_first_and_leave_no_hole() -> None:
    queue = EventQueue("s")
    half = LIMITS.event_queue_bytes // 2
    for event in (final(half), progress(), provisional(half - 1_000), final(half - 2_000)):
        queue.put(event)
    events = await written(queue)
    assert [event.affect.stage for event in events] == [pb.STAGE_FINAL, pb.STAGE_FINAL]
    assert [event.sequence for event in events] == [1, 2]


@pytest.mark.fault("slow reader")
async def test_finals_alone_over_the_bound_end_the_stream_with_a_reason() -> None:
    queue = EventQueue("s")
    half = LIMITS.event_queue_bytes // 2
    queue.put(final(half))
    with pytest.raises(LimitReached) as caught:
        queue.put(final(half))
    assert caught.value.reason == "SLOW_READER"
    assert len(await written(queue)) == 1, "what was queued is not lost"


async def test_a_write_that_takes_too_long_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    from affectstream.contract import Limits

    monkeypatch.setattr("affectstream_server.stages.emit.LIMITS", Limits(slow_reader_ms=20))
    queue = EventQueue("s")
    queue.put(final())

    async def stuck(_: bytes) -> None:
        await asyncio.sleep(10)

    with pytest.raises(LimitReached) as caught:
        await queue.write_all(stuck)
    assert caught.value.limit == "20 ms"


async def test_the_writer_waits_for_events_that_come_later() -> None:
    queue = EventQueue("s")
    got: list[int] = []

    async def write(data: bytes) -> None:
        got.append(pb.StreamAffectResponse.FromString(data).event.sequence)

    writer = asyncio.create_task(queue.write_all(write))
    for expected in (1, 2, 3):
        queue.put(final())
        await asyncio.sleep(0.001)
        assert got[-1] == expected
    queue.close()
    await writer
