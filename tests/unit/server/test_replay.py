"""What a lost stream did not get, and the tokens that ask for it."""

from __future__ import annotations

import asyncio

import pytest

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import NotFound, Refused
from affectstream_server.resume import ResumeKey
from affectstream_server.stages.emit import EventQueue


def final(size_bytes: int = 10) -> pb.SessionEvent:
    event = pb.AffectEvent(stage=pb.STAGE_FINAL, utterance_id="x" * size_bytes, top_label="sad")
    return pb.SessionEvent(affect=event)


def started() -> pb.SessionEvent:
    return pb.SessionEvent(session_started=pb.SessionStarted())


class Reader:
    """A stream's end: what was written to it."""

    def __init__(self, queue: EventQueue) -> None:
        self.events: list[pb.SessionEvent] = []
        self._task = asyncio.create_task(queue.write_all(self._write))

    async def _write(self, data: bytes) -> None:
        self.events.append(pb.StreamAffectResponse.FromString(data).event)

    async def settle(self) -> list[int]:
        await asyncio.sleep(0.01)
        return [event.sequence for event in self.events]

    async def lost(self, queue: EventQueue) -> None:
        await asyncio.sleep(0.01)
        queue.leave()
        await asyncio.wait_for(self._task, 30)


async def retaining(count: int, size_bytes: int = 10) -> EventQueue:
    """A queue whose first stream wrote so many events and was lost."""
    queue = EventQueue("s")
    queue.retain = True
    reader = Reader(queue)
    for _ in range(count):
        queue.put(final(size_bytes))
    await reader.lost(queue)
    return queue


async def test_what_follows_the_last_one_received_comes_again_before_what_is_new() -> None:
    queue = await retaining(5)
    queue.put(final())
    queue.move(started(), 3)
    reader = Reader(queue)
    queue.put(final())
    assert await reader.settle() == [6, 4, 5, 7, 8]
    assert [event.epoch for event in reader.events] == [2, 1, 1, 2, 2]
    assert reader.events[0].session_started.next_sequence == 4
    await reader.lost(queue)


@pytest.mark.parametrize("last", [None, 5])
async def test_nothing_comes_again_where_nothing_is_missing_or_nobody_asks(last: int | None) -> None:
    queue = await retaining(5)
    queue.move(started(), last)
    reader = Reader(queue)
    assert await reader.settle() == [6]
    assert reader.events[0].session_started.next_sequence == 7
    await reader.lost(queue)


async def test_events_older_than_the_bound_are_counted_as_lost() -> None:
    size = LIMITS.replay_bytes // 8
    queue = await retaining(20, size)
    queue.move(started(), 0)
    reader = Reader(queue)
    came = await reader.settle()
    lost = 20 - len(came[1:-1])
    assert lost > 0
    assert came == [21, *range(lost + 1, 21), 22], "the newest are kept, in order"
    assert (reader.events[-1].warning.code, reader.events[-1].warning.value) == ("EVENTS_LOST", str(lost))
    assert sum(event.ByteSize() for event in reader.events[1:-1]) <= LIMITS.replay_bytes
    await reader.lost(queue)


@pytest.mark.parametrize("size", [100, LIMITS.replay_bytes], ids=["some are lost", "all are lost"])
async def test_who_continues_a_session_that_is_over_hears_what_is_lost_and_then_its_end(size: int) -> None:
    queue = EventQueue("s")
    queue.retain = True
    reader = Reader(queue)
    for _ in range(3):
        queue.put(final(LIMITS.replay_bytes // 2))
    queue.put(final(size))
    queue.put(pb.SessionEvent(session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)))
    queue.close()
    await reader.settle()
    queue.move(started(), 0)
    again = Reader(queue)
    came = await again.settle()
    assert came == ([6, 3, 4, 7, 5] if size == 100 else [6, 7, 5])
    assert again.events[0].session_started.next_sequence == came[1]
    assert again.events[-2].warning.code == "EVENTS_LOST"
    assert again.events[-1] == reader.events[-1]


async def test_the_stream_that_loses_the_session_hears_its_last_words_and_no_more() -> None:
    queue = EventQueue("s")
    queue.retain = True
    older = Reader(queue)
    queue.put(final())
    await older.settle()
    queue.leave(pb.SessionEvent(session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_SUPERSEDED)))
    queue.move(started(), 1)
    newer = Reader(queue)
    queue.put(final())
    assert await older.settle() == [1, 2]
    assert await newer.settle() == [3, 2, 4], "no sequence is missing on the newer one"
    await newer.lost(queue)


async def test_withheld_values_are_not_sent_again() -> None:
    queue = await retaining(2)
    queue.put(final())
    queue.move(started(), 0)
    queue.withhold()
    reader = Reader(queue)
    await reader.settle()
    finals = [event.affect for event in reader.events if event.HasField("affect")]
    assert len(finals) == 3
    assert not any(affect.top_label for affect in finals)
    await reader.lost(queue)


async def test_without_retaining_nothing_is_kept() -> None:
    queue = EventQueue("s")
    reader = Reader(queue)
    queue.put(final())
    await reader.lost(queue)
    queue.move(started(), 0)
    again = Reader(queue)
    assert await again.settle() == [2, 3]
    assert again.events[-1].warning.value == "1"
    await again.lost(queue)


def test_a_token_opens_its_own_session_alone() -> None:
    key, other = ResumeKey(), ResumeKey()
    key.check(key.token(1))
    for wrong in (other.token(1), b"", b"\0", key.token(1)[:-1], key.token(1) + b"\0"):
        with pytest.raises(NotFound):
            key.check(wrong)


def test_tokens_before_one_that_was_used_are_refused() -> None:
    key = ResumeKey()
    key.check(key.token(3))
    key.check(key.token(3))
    key.check(key.token(5))
    with pytest.raises(Refused) as caught:
        key.check(key.token(4))
    assert caught.value.reason == "RESUME_SUPERSEDED"
