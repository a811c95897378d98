"""Blocks of many streams in one batch: as many as fit, each once and in order, whatever the batch holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from affectstream.contract import BLOCK_SAMPLES
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth.identity import ANONYMOUS
from affectstream_server.observer import Observer
from affectstream_server.pipeline import Pipeline
from affectstream_server.scoring.router import from_settings
from affectstream_server.settings import load
from affectstream_server.stream import Stream
from tests.support.speech import sample_talk
from tests.support.wire import END, audio, config

TALK = sample_talk()[: 16_000 * 24]
NOT_SCORED = pb.StreamAffectRequest(control=pb.Control(consent_withdrawn=pb.ConsentWithdrawn()))
STEREO = [pb.ChannelConfig(index=index, analyze=True) for index in range(2)]


class Looks(Observer):
    """How many blocks each batch had."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def looked(self, blocks: int, seconds: float) -> None:  # noqa: ARG002 - as every observer is told
        self.blocks.append(blocks)


@asynccontextmanager
async def pipeline(max_batch: int) -> AsyncIterator[tuple[Pipeline, Looks]]:
    settings = load(environ={}, overrides={"detection": {"max_batch": max_batch}})
    looks = Looks()
    served = Pipeline(settings, from_settings(settings), looks)
    served.start()
    served.router.start(lambda: None)
    try:
        yield served, looks
    finally:
        await served.close()


class Caller:
    """One session, and what was said of its utterances."""

    def __init__(self, served: Pipeline, channels: int) -> None:
        self._served = served
        self.stream: Stream = served.open_stream(ANONYMOUS)
        self.bounds: dict[int, list[tuple[str, float]]] = {channel: [] for channel in range(channels)}
        asked = config(channels=STEREO) if channels == 2 else config()
        asked.config.audio.channel_count = channels
        self.stream.receive(asked)
        self.stream.receive(NOT_SCORED)
        self._writer = asyncio.create_task(self.stream.write_all(self._take))

    async def _take(self, data: bytes) -> None:
        event = pb.StreamAffectResponse.FromString(data).event
        if event.HasField("speech_ended"):
            ended = event.speech_ended
            at = ended.audio_end.ToNanoseconds() / 1e9
            self.bounds[int(ended.utterance_id.split(".")[-2])].append(
                (ended.utterance_id.split(".", 1)[1], at)
            )

    async def end(self) -> None:
        self.stream.receive(END)
        await self._writer
        self._served.close_stream(self.stream)


@pytest.mark.parametrize("max_batch", [1, 3])
async def test_a_small_batch_finds_what_a_large_one_does(max_batch: int) -> None:
    found = []
    for most in (max_batch, 64):
        async with pipeline(most) as (served, looks):
            callers = [Caller(served, 2) for _ in range(2)]
            for place in range(0, len(TALK), 6_400):
                part = TALK[place : place + 6_400]
                for number, caller in enumerate(callers):
                    other = np.roll(TALK, 16_000 * (3 + number))[place : place + 6_400]
                    caller.stream.receive(audio(np.stack([part, other], axis=1).tobytes()))
                    if not caller.stream.has_room():
                        await caller.stream.room()
            await asyncio.gather(*(caller.end() for caller in callers))
            assert max(looks.blocks) <= most
            assert sum(looks.blocks) == 4 * -(-len(TALK) // BLOCK_SAMPLES), "each block once"
            found.append([caller.bounds for caller in callers])
    assert found[0] == found[1]
    assert min(len(bounds) for caller in found[0] for bounds in caller.values()) > 2


async def test_who_is_ahead_has_one_block_beside_who_is_not() -> None:
    async with pipeline(64) as (served, looks):
        ahead, live = Caller(served, 1), Caller(served, 1)
        for place in range(0, 16_000 * 8, 1_600):
            ahead.stream.receive(audio(TALK[place : place + 1_600].tobytes()))
            ahead.stream.has_room()
        async with asyncio.timeout(10):
            while served.waiting:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        looks.blocks.clear()
        three = TALK[: 3 * BLOCK_SAMPLES].tobytes()
        live.stream.receive(audio(three))
        ahead.stream.receive(audio(three))
        async with asyncio.timeout(10):
            while sum(looks.blocks) < 6:
                await asyncio.sleep(0.01)
        assert looks.blocks == [3 + 1, 1, 1]
        await asyncio.gather(ahead.end(), live.end())
