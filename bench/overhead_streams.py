"""Streams of the overhead: each utterance's time in the service, and its window for the raw side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from bench.channel import METHOD
from bench.overhead_talks import window
from bench.talks import CONFIG, END_OF_AUDIO

_FRAME_SAMPLES: Final = 1_600
"""100 ms: large frames leave the cores to what is measured."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One utterance that the service scored."""

    talk: int
    start: int
    end: int
    """The scored samples of the looped talk."""
    service_ms: float
    """Endpoint declared to final handed to gRPC, on the server's clock."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is streamed."""

    streams: int
    speed: float
    """Times real time."""
    seconds: float


class Talker:
    """One stream: sends its talk, looped from its own place, and tells of each utterance."""

    def __init__(
        self, number: int, talks: list[NDArray[np.int16]], load: Load, tell: Callable[[Scored], None]
    ) -> None:
        self._talk = number % len(talks)
        self._samples = talks[self._talk]
        self._first = number * 7_919 * 320 % len(self._samples)
        self._lag_s = number / load.streams * _FRAME_SAMPLES / SAMPLE_RATE_HZ / load.speed
        self._load = load
        self._tell = tell
        self._declared: dict[str, int] = {}

    async def run(self, channel: grpc.aio.Channel) -> None:
        """The whole call. Raises `grpc.aio.AioRpcError`."""
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
        async for data in method(self._send()):
            self._hear(pb.StreamAffectResponse.FromString(data).event)

    async def _send(self) -> AsyncIterator[bytes]:
        yield CONFIG
        period_s = _FRAME_SAMPLES / SAMPLE_RATE_HZ / self._load.speed
        began = time.perf_counter() + self._lag_s
        for frame in range(round(self._load.seconds / period_s)):
            await asyncio.sleep(began + frame * period_s - time.perf_counter())
            start = self._first + frame * _FRAME_SAMPLES
            data = window(self._samples, start, start + _FRAME_SAMPLES).tobytes()
            yield pb.StreamAffectRequest(audio=pb.AudioChunk(data=data)).SerializeToString()
        yield END_OF_AUDIO

    def _hear(self, event: pb.SessionEvent) -> None:
        kind = event.WhichOneof("event")
        if kind == "speech_ended":
            self._declared[event.speech_ended.utterance_id] = event.server_time.ToNanoseconds()
        elif kind == "affect" and event.affect.stage == pb.STAGE_FINAL:
            affect = event.affect
            declared_ns = self._declared.pop(affect.utterance_id)
            if affect.status in (pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED):
                start, end = _samples(affect.audio_start), _samples(affect.audio_end)
                took_ms = (event.server_time.ToNanoseconds() - declared_ns) / 1e6
                self._tell(Scored(self._talk, self._first + start, self._first + end, took_ms))


async def drive(
    address: str, talks: list[NDArray[np.int16]], load: Load, tell: Callable[[Scored], None]
) -> None:
    """Run all streams to their end. Raises `grpc.aio.AioRpcError`."""
    channels = [
        grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
        for _ in range(-(-load.streams // 10))
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(load.streams):
                talker = Talker(number, talks, load, tell)
                tasks.create_task(talker.run(channels[number % len(channels)]))
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


def _samples(position: Duration) -> int:
    return round(position.ToNanoseconds() * SAMPLE_RATE_HZ / 1_000_000_000)
