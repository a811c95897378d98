"""Calls that are lost and sessions that go on: shared by the tests of resuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import write
from affectstream_server.lifecycle import Server
from tests.support.speech import sample_talk
from tests.support.wire import Request, audio, config, stub

FRAME_BYTES = 640
"""20 ms of LINEAR16 at 16 kHz."""


class Call:
    """One stream of a session, and every event that came on it."""

    def __init__(self, call: Any, first: Request) -> None:
        self.call = call
        self._first = first
        self.events: list[pb.SessionEvent] = []

    @property
    def started(self) -> pb.SessionStarted:
        return self.events[0].session_started

    async def send(self, requests: Iterable[Request]) -> None:
        for request in requests:
            await write(self.call, request)
            await asyncio.sleep(0)

    async def until(self, seen: Callable[[list[pb.SessionEvent]], object]) -> None:
        """Read until ``seen`` says so; fails when the stream ends before."""
        async with asyncio.timeout(30):
            while not seen(self.events):
                response = await self.call.read()
                assert isinstance(response, pb.StreamAffectResponse), await self.call.details()
                self.events.append(response.event)

    async def to_the_end(self) -> grpc.StatusCode:
        """Read every event. Returns the status."""
        async with asyncio.timeout(30):
            try:
                while isinstance(response := await self.call.read(), pb.StreamAffectResponse):
                    self.events.append(response.event)
            except grpc.aio.AioRpcError:
                pass
            return await self.call.code()  # type: ignore[no-any-return] # the stub is untyped

    def next(self, *, offset: int, with_events: bool = True, rate_hz: int = 0) -> Request:
        """The config of a stream that goes on after this one."""
        request = Request()
        request.CopyFrom(self._first)
        request.config.audio.sample_rate_hz = rate_hz or request.config.audio.sample_rate_hz
        resume = request.config.resume
        resume.session_id = self.events[0].session_id
        resume.resume_token = self.started.resume_token
        resume.audio_offset_samples = offset
        resume.ClearField("last_sequence")
        if with_events:
            resume.last_sequence = max(event.sequence for event in self.events)
        return request


@asynccontextmanager
async def calling(address: str, first: Request, **options: Any) -> AsyncIterator[Call]:
    """A call on a connection of its own that has its first event; lost at the end."""
    async with stub(address) as service:
        call = Call(service.StreamAffect(**options), first)
        await call.send([first])
        await call.until(lambda events: events)
        yield call
        call.call.cancel()


def frames(data: bytes, start: int, end: int) -> list[Request]:
    """Audio messages for the samples ``[start, end)`` of LINEAR16."""
    part = data[2 * start : 2 * end]
    return [audio(part[i : i + FRAME_BYTES]) for i in range(0, len(part), FRAME_BYTES)]


def in_order(calls: Iterable[Call]) -> list[pb.SessionEvent]:
    """Every event of a session once, by sequence; fails where one came twice and differs."""
    found: dict[int, pb.SessionEvent] = {}
    for call in calls:
        for event in call.events:
            known = found.setdefault(event.sequence, event)
            assert known == event, "one sequence, two events"
    return [found[sequence] for sequence in sorted(found)]


def asked(**fields: Any) -> Request:
    """The config of a session that may be continued, with progress each tenth of a second."""
    outputs = pb.OutputConfig(progress_interval_ms=100)
    return config(resumable=True, session_id="talk", outputs=outputs, **fields)


async def lost(server: Server) -> None:
    """Wait until the server has noticed that a stream was lost."""
    async with asyncio.timeout(30):
        while server.pipeline.streams or not server.pipeline.sessions.lost:
            await asyncio.sleep(0.005)


async def keep_talking(call: Call) -> None:
    """Send one syllable of the sample talk without an end."""
    data = sample_talk().tobytes()
    while True:
        for request in frames(data, 26_000, 29_200):
            await call.send([request])
            await asyncio.sleep(0.02)
