"""Callers as users are: live audio through the proxy with `Reconnect`, and what each of them heard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from affectstream import (
    AffectClient,
    AffectEvent,
    AffectStream,
    Event,
    NewSession,
    Reconnect,
    Resumed,
    SessionLost,
    SpeechStarted,
    StreamConfig,
    Tls,
)
from tests.support.speech import sample_talk
from tests.wire.client.talks import RECORDING, finals, of_type, whole

RATE_HZ = 16_000
FRAME = 1_600
"""100 ms: many callers on few cores."""
TALK = sample_talk()[: 16 * 14_400]
"""Four utterances, and the silence after them."""


@dataclass(frozen=True)
class Heard:
    """A final on the caller's own timeline, in seconds."""

    start_s: float
    end_s: float
    label: str


@dataclass
class Talker:
    """Says a talk over and over at the pace at which it was said, until told to stop after the next one."""

    audio: NDArray[np.int16] = field(default_factory=lambda: TALK)
    events: list[Event] = field(default_factory=list)
    passes: int = 0
    lost_samples: int = 0
    streaming: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, client: AffectClient, enough: asyncio.Event) -> None:
        """Until ``enough``, and then to the end of the talk."""
        async with client.stream(StreamConfig(), reconnect=Reconnect()) as stream:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(stream))
                await self._speak(stream, enough)
                await stream.end()
            self.lost_samples = stream.lost_samples

    async def _speak(self, stream: AffectStream, enough: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while not (enough.is_set() and self.passes):
            for at in range(0, len(self.audio), FRAME):
                await asyncio.sleep(due_s - loop.time())
                frame = self.audio[at : at + FRAME]
                await stream.send(frame)
                due_s += len(frame) / RATE_HZ
            self.passes += 1

    async def _read(self, stream: AffectStream) -> None:
        async for event in stream:
            self.events.append(event)
            if isinstance(event, SpeechStarted):
                self.streaming.set()

    @property
    def heard(self) -> list[Heard]:
        """Every final, in the order of its coming."""
        origin_s, found = 0.0, []
        for event in self.events:
            if isinstance(event, NewSession):
                origin_s = event.origin.seconds
            elif isinstance(event, AffectEvent) and event.is_final:
                start_s, end_s = event.audio_start.seconds, event.audio_end.seconds
                found.append(Heard(origin_s + start_s, origin_s + end_s, event.top_label))
        return found

    @property
    def told_unfinished(self) -> set[str]:
        """Utterances of which a lost session said that they get no final under their ids."""
        return {name for lost in of_type(self.events, SessionLost) for name in lost.unfinished}

    def count(self, kind: type[NewSession | Resumed]) -> int:
        """How often the line was another."""
        return len(of_type(self.events, kind))

    def wrong(self, true: Iterable[tuple[float, float]]) -> str:
        """What of the utterances ``true`` (seconds, of one talk) was lost or heard twice; empty: nothing."""
        length_s = len(self.audio) / RATE_HZ
        faults, heard = [], self.heard
        for number in range(self.passes):
            for start_s, end_s in ((number * length_s + a, number * length_s + b) for a, b in true):
                middle_s = (start_s + end_s) / 2
                over = [each for each in heard if each.start_s <= middle_s <= each.end_s]
                if len(over) != 1:
                    faults.append(f"{len(over)} finals for {start_s:.2f}..{end_s:.2f} s")
        for one, other in pairwise(heard):
            if other.start_s < one.end_s - 0.001:
                faults.append(f"{other.start_s:.2f} s was heard until {one.end_s:.2f} s before")
        begun = [event.utterance_id for event in of_type(self.events, SpeechStarted)]
        ended = [event.utterance_id for event in finals(self.events)]
        if len(set(ended)) != len(ended):
            faults.append("a final came twice")
        if missing := set(begun) - set(ended) - self.told_unfinished:
            faults.append(f"no final of {sorted(missing)}")
        return "; ".join(faults)


def calling(address: str, ca: str) -> AffectClient:
    """A client of the proxy."""
    return AffectClient(address, tls=Tls(ca_file=ca, server_name="localhost"))


async def bounds(client: AffectClient) -> list[tuple[float, float]]:
    """Of the talk's utterances, as an undisturbed stream hears them, in seconds."""
    async with client.stream(reconnect=RECORDING) as stream:
        heard = finals(await whole(stream, TALK))
    assert len(heard) == 4
    return [(final.audio_start.seconds, final.audio_end.seconds) for final in heard]
