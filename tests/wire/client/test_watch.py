"""The client's watch: typed events, by itself back after a cut, and a clear error where that cannot be."""

from __future__ import annotations

import asyncio
import base64

import pytest

from affectstream import AffectClient, AffectEvent, Event, Reconnect, SessionClosed, Timeouts, WatchStart
from affectstream.errors import (
    AffectStreamError,
    ConnectError,
    FailedPrecondition,
    GaveUp,
    InvalidRequest,
    NotFound,
)
from affectstream.events import Warning as Told
from tests.support.fault_proxy import FaultProxy
from tests.support.speech import sample_talk
from tests.support.wire import END, config, running_server, stream_talk
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 6 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000
SOON = Reconnect(first_delay_s=0.01, max_delay_s=0.1)


async def everything(client: AffectClient, session_id: str, **where: object) -> list[Event]:
    async with client.watch(session_id, **where) as watch:  # type: ignore[arg-type]
        return [event async for event in watch]


async def test_events_are_typed_and_end_with_the_session(server_address: str) -> None:
    said = await stream_talk(server_address, TALK, session_id="call")
    async with AffectClient(server_address) as client:
        heard = await everything(client, "call", start=WatchStart.EARLIEST)
        assert [event.sequence for event in heard] == [event.sequence for event in said]
        assert any(isinstance(event, AffectEvent) and event.is_final for event in heard)
        assert isinstance(heard[-1], SessionClosed)
        assert await everything(client, "call", after=heard[2].cursor) == heard[3:]


async def test_lines_that_are_cut_cost_no_event(server_address: str) -> None:
    async with (
        FaultProxy(server_address) as proxy,
        AffectClient(proxy.address) as client,
        calling(server_address, config(session_id="call")) as call,
        client.watch("call", reconnect=SOON) as watch,
    ):
        heard: list[Event] = []
        proxy.cut()  # before the first event
        for second in range(6):
            await call.send(frames(DATA, second * SECOND, (second + 1) * SECOND))
            heard.append(await anext(watch))
            proxy.cut()
        await call.send([END])
        await call.call.done_writing()
        heard += [event async for event in watch]
        await call.to_the_end()
    assert [event.sequence for event in heard] == [event.sequence for event in call.events[1:]]


async def test_a_tenants_watch_has_events_of_every_session(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.watch() as watch:
        said = [await stream_talk(server_address, TALK[:SECOND], session_id=name) for name in ("a", "b")]
        expected = [(event.session_id, event.sequence) for events in said for event in events]
        heard = [await anext(watch) for _ in expected]
        assert sorted((event.session_id, event.sequence) for event in heard) == expected
        assert watch.cursor == heard[-1].cursor


async def test_a_session_that_has_not_begun_is_waited_for(server_address: str) -> None:
    async with AffectClient(server_address) as client:
        with pytest.raises(NotFound):
            async with client.watch("call", wait_s=0.2):
                pass
        waiting = asyncio.create_task(everything(client, "call", start=WatchStart.EARLIEST, wait_s=10))
        await asyncio.sleep(0.2)
        said = await stream_talk(server_address, TALK[:SECOND], session_id="call")
        assert len(await waiting) == len(said)


async def test_what_fell_out_is_told_once_and_the_watch_goes_on() -> None:
    async with running_server({"bus": {"retention_events": 3}}) as server:
        async with (
            FaultProxy(server.address) as proxy,
            AffectClient(proxy.address) as client,
            calling(server.address, config(session_id="call")) as call,
            client.watch("call", start=WatchStart.EARLIEST, reconnect=SOON) as watch,
        ):
            first = await anext(watch)
            await proxy.refuse()
            proxy.cut()
            await call.send([*frames(DATA, 0, 6 * SECOND), END])
            await call.call.done_writing()
            await call.to_the_end()
            await proxy.accept()
            rest = [event async for event in watch]
        assert first.sequence == 1
        assert isinstance(rest[0], Told)
        assert rest[0].code == "EVENTS_LOST"
        assert [event.sequence for event in rest[1:]] == [e.sequence for e in call.events[-3:]]
        async with AffectClient(server.address) as client:
            with pytest.raises(InvalidRequest) as caught:
                await everything(client, "call", after=first.cursor)
            earliest = base64.b64decode(caught.value.limit)
            assert len(await everything(client, "call", after=earliest)) == 3


async def test_a_task_that_is_cancelled_leaves_the_watch_whole(server_address: str) -> None:
    async with (
        AffectClient(server_address) as client,
        calling(server_address, config(session_id="call")) as call,
        client.watch("call") as watch,
    ):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.05)
        await call.send([*frames(DATA, 0, 3 * SECOND), END])
        await call.call.done_writing()
        await call.to_the_end()
        assert [event.sequence async for event in watch] == [e.sequence for e in call.events[1:]]


async def test_errors_say_what_is_wrong(server_address: str) -> None:
    await stream_talk(server_address, TALK[:SECOND], session_id="call")
    async with AffectClient(server_address) as client:
        for session_id, expected in (("call", FailedPrecondition), ("a b", InvalidRequest), ("no", NotFound)):
            with pytest.raises(expected):
                await everything(client, session_id)
    async with AffectClient("127.0.0.1:1", timeouts=Timeouts(connect_s=1)) as client:
        with pytest.raises(ConnectError):
            await everything(client, "call")


async def test_a_watch_gives_up_within_its_limits_or_at_once(server_address: str) -> None:
    for policy, expected in ((Reconnect(give_up_after_s=0.5), GaveUp), (None, AffectStreamError)):
        async with (
            FaultProxy(server_address) as proxy,
            AffectClient(proxy.address) as client,
            client.watch(reconnect=policy) as watch,
        ):
            await proxy.refuse()
            proxy.cut()
            with pytest.raises(expected):
                await anext(watch)
            with pytest.raises(StopAsyncIteration):
                await anext(watch)


async def test_a_purge_says_how_much_it_was(server_address: str) -> None:
    said = await stream_talk(server_address, TALK[:SECOND], session_id="call")
    async with AffectClient(server_address) as client:
        assert await client.purge("call") == len(said)
        with pytest.raises(NotFound):
            await client.purge("call")
