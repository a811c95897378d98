"""The backlog keeps the order, has bounds, and says what it dropped."""

from __future__ import annotations

import asyncio

from affectstream.integrations.backlog import MOST_AUDIO_S, MOST_CONTROLS, Audio, Backlog, Control

RATE = 16_000
FRAME = bytes(640)


def backlog() -> Backlog:
    return Backlog(RATE, 2)


async def test_audio_and_controls_come_in_the_order_of_adding() -> None:
    queue = backlog()
    queue.add_audio(FRAME)
    queue.add_control("speech_started", 100)
    queue.add_audio(FRAME)
    assert await queue.get() == Audio(0, FRAME)
    assert await queue.get() == Control(100, "speech_started")
    assert await queue.get() == Audio(320, FRAME)
    assert queue.position == 640


async def test_a_full_backlog_drops_the_oldest_audio_and_counts_it() -> None:
    queue = backlog()
    seconds = 5
    for _ in range(seconds * 50):
        queue.add_audio(FRAME)
    queue.add_control("speech_ended", queue.position)
    kept = round(MOST_AUDIO_S * RATE)
    assert queue.position == seconds * RATE
    assert queue.dropped_samples == seconds * RATE - kept
    first = await queue.get()
    assert isinstance(first, Audio)
    assert first.start == seconds * RATE - kept
    for _ in range(kept // 320 - 1):
        await queue.get()
    assert await queue.get() == Control(seconds * RATE, "speech_ended")


async def test_controls_are_bounded_too() -> None:
    queue = backlog()
    for position in range(MOST_CONTROLS + 3):
        queue.add_control("agent_speech_started", position)
    assert await queue.get() == Control(3, "agent_speech_started")


async def test_a_torn_sample_is_cut_off() -> None:
    queue = backlog()
    queue.add_audio(bytes(641))
    queue.add_audio(bytes(1))
    assert await queue.get() == Audio(0, FRAME)
    assert queue.position == 320


async def test_the_end_comes_after_what_was_added() -> None:
    queue = backlog()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_audio(FRAME)
    queue.end()
    queue.add_audio(FRAME)
    queue.add_control("speech_started", 0)
    assert await waiting == Audio(0, FRAME)
    assert await queue.get() is None


async def test_what_waits_begins_in_speech_where_its_first_control_ends_speech() -> None:
    queue = backlog()
    assert queue.begins_in_speech(now=True)
    assert not queue.begins_in_speech(now=False)
    queue.add_control("agent_speech_started", 0)
    queue.add_control("speech_ended", 0)
    assert queue.begins_in_speech(now=False)
    assert await queue.get() == Control(0, "agent_speech_started")
    assert await queue.get() == Control(0, "speech_ended")
    queue.add_control("speech_started", 0)
    assert not queue.begins_in_speech(now=True)
