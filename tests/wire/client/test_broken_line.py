"""Lines that tear messages to pieces or break at any byte: the caller has what an unbroken one gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from affectstream import (
    AffectClient,
    ControlDone,
    Ended,
    Event,
    Gap,
    Reconnecting,
    Resumed,
    SessionClosed,
    SessionStarted,
    SpeechEnded,
    SpeechStarted,
    errors,
)
from tests.support.fault_proxy import FaultProxy
from tests.support.waiting import waiting
from tests.wire.client.talks import (
    PATIENT,
    RECORDING,
    SHORT,
    collect,
    finals,
    of_type,
    play,
    said,
    sequences,
    uncut,
    until,
    whole,
)

KEPT = replace(RECORDING, give_up_after_s=30.0)


def heard(events: list[Event]) -> list[tuple[str, int, int]]:
    """What was heard of each utterance, and where, in ns; how soon a score comes is the machine's affair."""
    utterances = [event for event in events if isinstance(event, SpeechStarted | SpeechEnded)] + finals(
        events
    )
    return sorted(
        (type(event).__name__, event.audio_start.ns, getattr(event, "audio_end", event.audio_start).ns)
        for event in utterances
    )


def check_whole(events: list[Event]) -> None:
    """Nothing is missing, twice or out of place, and the session ended as it should."""
    last = events[-1]
    assert isinstance(last, SessionClosed)
    # Above its number are only the beginnings of calls that broke before they were heard.
    numbers = [number for number in sequences(events) if number <= last.sequence]
    assert sorted(numbers) == list(range(1, last.sequence + 1))
    later = [event for event in events if event.sequence > last.sequence]
    assert all(isinstance(event, SessionStarted) for event in later)
    assert of_type(events, Gap) == []
    assert all(resumed.lost is None for resumed in of_type(events, Resumed))


async def all_passed(proxy: FaultProxy) -> None:
    """Wait until nothing more is on its way to the server."""
    passed = -1
    while passed != proxy.up_bytes:
        passed = proxy.up_bytes
        await asyncio.sleep(0.2)


@pytest.mark.fault("broken line")
async def test_audio_in_slices_of_a_few_bytes_has_the_same_events(
    proxy: FaultProxy, figure: Callable[[str], None]
) -> None:
    expected = await uncut(proxy.address, SHORT)
    passed, proxy.slices = proxy.up_bytes, (1, 7)
    events = await uncut(proxy.address, SHORT)
    figure(f"{proxy.up_bytes - passed:,} bytes in slices of 1 to 7")
    assert said(events) == said(expected) != []
    assert heard(events) == heard(expected)


@pytest.mark.fault("broken line")
@pytest.mark.parametrize("politely", [False, True], ids=["reset", "ended"])
@pytest.mark.parametrize(("way", "limit"), [("up", 9_001), ("up", 70_003), ("down", 2_501), ("down", 3_203)])
async def test_connections_that_all_break_after_so_many_bytes_change_nothing(
    proxy: FaultProxy, way: str, limit: int, politely: bool, figure: Callable[[str], None]
) -> None:
    """Wherever in a frame that is: with each connection a little more of the talk gets through."""
    expected = said(await uncut(proxy.address, SHORT))
    before, proxy.breaks_politely = proxy.connections, politely
    setattr(proxy, f"{way}_limit", limit)
    # gRPC forgets what came and was not read when a line breaks: on a busy machine all of it, each time.
    proxy.limit_growth = limit // 50
    async with (
        AffectClient(proxy.address) as client,
        client.stream(PATIENT, reconnect=KEPT) as stream,
        asyncio.timeout(30),
    ):
        events = await whole(stream, SHORT)
    connections = proxy.connections - before
    figure(f"{connections} connections of {limit:,} bytes {way}")
    assert connections > 1
    assert said(events) == expected
    check_whole(events)


@pytest.mark.fault("broken line")
@pytest.mark.parametrize("limit", [1, 24, 60, 200, 300, 360])
async def test_a_line_that_breaks_in_the_config_leaves_no_session(proxy: FaultProxy, limit: int) -> None:
    """In HTTP/2's own preface, its settings, the call's headers, the config: the first call is tried once."""
    config = replace(PATIENT, session_id=f"torn-{limit}")
    async with AffectClient(proxy.address) as client:
        proxy.up_limit = limit
        with pytest.raises(errors.ServerUnavailable) as refused:
            async with client.stream(config, reconnect=KEPT):
                pytest.fail("the config cannot have come")
        assert refused.value.retryable
    proxy.up_limit = None
    async with AffectClient(proxy.address) as client, client.stream(config, reconnect=KEPT) as stream:
        events = await whole(stream, SHORT[: 16 * 4_000])
    assert len(finals(events)) == 1
    check_whole(events)


@pytest.mark.fault("broken line")
@pytest.mark.parametrize("more", [1, 9, 20])
async def test_a_line_that_breaks_in_the_last_message_is_mended(proxy: FaultProxy, more: int) -> None:
    expected = said(await uncut(proxy.address, SHORT))
    before = proxy.up_bytes
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=KEPT) as stream:
        events: list[Event] = []
        reading = asyncio.create_task(collect(stream, events))
        await play(stream, SHORT)
        await until(lambda: len(of_type(events, SpeechStarted)) == 2)
        await all_passed(proxy)
        proxy.up_limit = proxy.up_bytes - before + more
        await stream.end()
        await asyncio.wait_for(reading, 30)
    assert said(events) == expected
    check_whole(events)


@pytest.mark.fault("broken line")
async def test_what_was_still_to_be_said_after_the_end_comes_on_another_line_and_at_once(
    proxy: FaultProxy,
) -> None:
    """The end of audio went out on the first call; the second must end as well."""
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=KEPT) as stream:
        events: list[Event] = []
        closed_s = float("inf")
        await play(stream, SHORT)
        await stream.end()
        async with waiting() as waited, asyncio.timeout(30):
            async for event in stream:
                events.append(event)
                if isinstance(event, ControlDone):
                    proxy.cut()
                if isinstance(event, SessionClosed):
                    closed_s = waited.seconds
            assert waited.seconds - closed_s < 0.5, "not until the server or the client lost patience"
    assert of_type(events, Reconnecting)
    assert said(events) == said(await uncut(proxy.address, SHORT))
    check_whole(events)
    assert stream.state == Ended(session_id=stream.session_id, cause=None)
