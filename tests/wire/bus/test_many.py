"""Many watchers at two processes, lines cut, a Redis killed: each event comes once and in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from affectstream import AffectClient, Event, Reconnect, Timeouts, WatchStart
from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import close, write
from tests.support.fault_proxy import FaultProxy
from tests.support.redis import RedisServer
from tests.support.speech import sample_talk
from tests.support.wire import END, chunks, config, running_server, stub
from tests.wire.bus.helpers import Shared

TALK = sample_talk()[: 24 * 16_000]
SESSIONS = ("one", "two", "three", "four")
SAMPLES_A_STEP = 8_000
CUT_AT = (4, 10, 22)
RESTART_AT = 16
"""Steps of half a second of audio, of 48."""


@pytest.fixture(params=["keeps", "forgets"])
def redis(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """With an append-only file, and without."""
    server = RedisServer(tmp_path / "redis", keep=request.param == "keeps")
    server.start()
    yield server
    server.kill()


class Conductor:
    """Lets every session take a step together, with faults between."""

    def __init__(self, redis: RedisServer, proxies: list[FaultProxy]) -> None:
        self._redis = redis
        self._proxies = proxies
        self._barrier = asyncio.Barrier(len(SESSIONS))
        self.cuts = 0

    async def step(self, number: int) -> None:
        if await self._barrier.wait() == 0:
            if number in CUT_AT:
                self.cuts += sum(proxy.cut() for proxy in self._proxies)
            if number == RESTART_AT:
                self._redis.kill()
            if number == RESTART_AT + 3:
                await asyncio.to_thread(self._redis.start)
        await asyncio.sleep(0.05)
        await self._barrier.wait()


async def speak(address: str, session_id: str, conductor: Conductor) -> list[pb.SessionEvent]:
    """A talk, with an event each tenth of a second."""
    outputs = pb.OutputConfig(progress_interval_ms=100)
    events: list[pb.SessionEvent] = []
    async with stub(address) as service:
        call = service.StreamAffect()

        async def read() -> None:
            while isinstance(response := await call.read(), pb.StreamAffectResponse):
                events.append(response.event)

        reading = asyncio.create_task(read())
        await write(call, config(session_id=session_id, outputs=outputs))
        data = TALK.tobytes()
        for number, start in enumerate(range(0, len(data), 2 * SAMPLES_A_STEP)):
            await conductor.step(number)
            for request in chunks(data[start : start + 2 * SAMPLES_A_STEP]):
                await write(call, request)
        await write(call, END)
        await close(call)
        await reading
    return events


async def hear(address: str, session_id: str | None, heard: list[Event], enough: asyncio.Event) -> None:
    """All that a watcher has, until its session ends, or it was enough."""
    again = Reconnect(max_delay_s=0.3)
    async with (
        AffectClient(address, timeouts=Timeouts(connect_s=20)) as client,
        client.watch(session_id, start=WatchStart.EARLIEST, reconnect=again, wait_s=60) as watch,
    ):

        async def read() -> None:
            async for event in watch:
                heard.extend([event] if event.sequence else [])

        reading, over = asyncio.create_task(read()), asyncio.create_task(enough.wait())
        await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
        if session_id is not None:
            await asyncio.wait_for(reading, 120)
        over.cancel()
        reading.cancel()
        await asyncio.wait({reading, over})
        if not reading.cancelled():
            reading.result()


def wrong_in(got: list[int], said: list[int]) -> str:
    """In words; empty: nothing."""
    missing = [number for number in said if number not in got]
    double = sorted({number for number in got if got.count(number) > 1})
    disorder = [f"{one}, {other}" for one, other in pairwise(got) if other < one]
    found = (("missing", missing), ("double", double), ("in disorder", disorder))
    return "; ".join(f"{what}: {numbers[:5]} of {len(numbers)}" for what, numbers in found if numbers)


@pytest.mark.timeout(300)
async def test_a_thousand_events_to_fifty_watchers(
    shared: Shared, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All are in this process: where it is busy they are late, and progress is not to be left out for that.
    monkeypatch.setattr("affectstream_server.watcher._SLOW_S", 60.0)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(running_server(shared())) for _ in range(2)]
        proxies = [await stack.enter_async_context(FaultProxy(server.address)) for server in servers]
        conductor = Conductor(redis, proxies)
        enough = asyncio.Event()
        subjects: list[str | None] = [name for name in SESSIONS for _ in range(10)]
        subjects += [None] * 10
        heard: list[list[Event]] = [[] for _ in subjects]
        watchers = [
            asyncio.create_task(hear(proxies[number % 2].address, subject, heard[number], enough))
            for number, subject in enumerate(subjects)
        ]
        spoken = await asyncio.gather(
            *(speak(servers[n % 2].address, name, conductor) for n, name in enumerate(SESSIONS))
        )
        count = sum(len(events) for events in spoken)
        async with asyncio.timeout(120):
            while any(len(events) < count for events in heard[-10:]):
                await asyncio.sleep(0.05)
        enough.set()
        await asyncio.gather(*watchers)
    said = {events[0].session_id: [event.sequence for event in events] for events in spoken}
    assert count >= 1_000
    assert conductor.cuts >= 3 * len(subjects), "every watcher was cut off three times"
    for subject, events in zip(subjects, heard, strict=True):
        got: defaultdict[str, list[int]] = defaultdict(list)
        for event in events:
            got[event.session_id].append(event.sequence)
        expected = said if subject is None else {subject: said[subject]}
        assert {name: wrong_in(got[name], expected[name]) for name in expected} == dict.fromkeys(expected, "")
