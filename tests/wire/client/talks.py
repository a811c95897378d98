"""A talk that is sent through a proxy which breaks the line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from affectstream import (
    AffectClient,
    AffectEvent,
    AffectStream,
    Connected,
    Endpointing,
    Event,
    LocalEvent,
    Reconnect,
    StreamConfig,
)
from tests.support.speech import sample_talk

T = TypeVar("T")
TALK = sample_talk()
SHORT = TALK[: 16 * 7_200]
"""The first two utterances; 236 kB to the server, 5 kB back."""
FRAME = 320
PATIENT = StreamConfig(endpointing=Endpointing(stall_ms=30_000))
"""A test that pauses between sends, on a busy machine, must not end an utterance by it."""
LIVE = Reconnect(first_delay_s=0.02, max_delay_s=0.1)
"""Quick, so that tests are."""
RECORDING = replace(LIVE, wait_when_full=True)
"""Of audio that is sent as fast as it goes."""


async def play(stream: AffectStream, samples: NDArray[np.int16], speed: float = 0.0) -> None:
    """Send all of it in frames, `speed` times as fast as it was said; 0: as fast as it goes."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for start in range(0, len(samples), FRAME):
        if speed:
            await asyncio.sleep(begun_s + start / 16_000 / speed - loop.time())
        await stream.send(samples[start : start + FRAME])


async def collect(stream: AffectStream, events: list[Event]) -> None:
    """Every event, into `events`."""
    async for event in stream:
        events.append(event)  # noqa: PERF401 - what came before an error counts


async def whole(stream: AffectStream, samples: NDArray[np.int16], speed: float = 0.0) -> list[Event]:
    """Every event of a stream to which all is sent."""
    events: list[Event] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(collect(stream, events))
        await play(stream, samples, speed)
        await stream.end()
    return events


async def uncut(address: str, samples: NDArray[np.int16] = TALK) -> list[Event]:
    """Every event of a stream whose line holds."""
    async with AffectClient(address) as client, client.stream(PATIENT) as stream:
        return await whole(stream, samples)


async def until(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(limit_s):
        while not holds():
            await asyncio.sleep(0.002)


async def connected_at(stream: AffectStream, position: int) -> None:
    """Wait until audio up to `position` was given and a call stands."""
    await until(lambda: stream.position_samples >= position and isinstance(stream.state, Connected))


def finals(events: list[Event]) -> list[AffectEvent]:
    """The final affect events."""
    return [event for event in events if isinstance(event, AffectEvent) and event.is_final]


def said(events: list[Event]) -> list[tuple[str, int, int, str]]:
    """Each final's number in its session, bounds in ns, and label."""
    return [
        (
            event.utterance_id.removeprefix(event.session_id),
            event.audio_start.ns,
            event.audio_end.ns,
            event.top_label,
        )
        for event in finals(events)
    ]


def sequences(events: list[Event]) -> list[int]:
    """Numbers of the server's events, in order of their coming."""
    return [event.sequence for event in events if not isinstance(event, LocalEvent)]


def of_type(events: list[Event], kind: type[T]) -> list[T]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]
