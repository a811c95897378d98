"""A stream whose server has forgotten it: another session goes on, and what became of the first is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from affectstream import (
    AffectClient,
    AffectStatus,
    AffectStream,
    CloseReason,
    Connected,
    ControlWithoutEffect,
    Event,
    NewSession,
    Progress,
    Reconnect,
    Reconnecting,
    SentControl,
    SessionClosed,
    SessionLost,
    SpeechStarted,
    StreamConfig,
    TurnAffect,
    errors,
    events,
)
from affectstream_server.lifecycle import Server
from tests.support.fault_proxy import FaultProxy
from tests.support.wire import running_server
from tests.wire.client.talks import (
    LIVE,
    PATIENT,
    RECORDING,
    TALK,
    collect,
    finals,
    of_type,
    play,
    sequences,
    uncut,
    until,
    whole,
)

SHORT = TALK[: 16 * 14_400]
"""The first four utterances, and the silence after them."""
WITHIN_2 = 16 * 5_600
"""Inside the second utterance."""
WITHIN_3 = 16 * 9_000


@dataclass
class Talk:
    """A stream to the first of two servers, and what it gave."""

    stream: AffectStream
    proxy: FaultProxy
    first: Server
    second: Server
    events: list[Event]
    reading: asyncio.Task[None]

    def lose(self) -> None:
        """The first server is not there any more, and the second knows nothing."""
        self.proxy.retarget(self.second.address)
        self.proxy.cut()

    async def has(self, kind: type[Event], count: int = 1) -> None:
        """Wait until so many events of a kind came."""
        await until(lambda: len(of_type(self.events, kind)) >= count)

    async def finish(self, position: int) -> None:
        """Send the rest and wait for the end."""
        await play(self.stream, SHORT[position:])
        await self.stream.end()
        async with asyncio.timeout(30):
            await self.reading


@asynccontextmanager
async def talk(
    policy: Reconnect = RECORDING,
    config: StreamConfig = PATIENT,
    settings: dict[str, dict[str, Any]] | None = None,
) -> AsyncIterator[Talk]:
    """The first final has come, and the second utterance has begun."""
    async with (
        running_server(settings) as first,
        running_server(settings) as second,
        FaultProxy(first.address) as proxy,
        AffectClient(proxy.address) as client,
        client.stream(config, reconnect=policy) as stream,
    ):
        heard: list[Event] = []
        reading = asyncio.create_task(collect(stream, heard))
        talking = Talk(stream, proxy, first, second, heard, reading)
        await play(stream, SHORT[:WITHIN_2])
        await talking.has(SpeechStarted, 2)
        await until(lambda: len(finals(heard)) == 1)
        try:
            yield talking
        finally:
            reading.cancel()
            await asyncio.wait({reading})


async def test_no_utterance_is_lost_or_heard_twice_when_the_server_is_another() -> None:
    async with talk() as talking:
        before = talking.stream.session_id
        talking.lose()
        await talking.finish(WITHIN_2)
        heard = talking.events
        undisturbed = finals(await uncut(talking.second.address, SHORT))
    (lost,) = of_type(heard, SessionLost)
    assert isinstance(lost.cause, errors.NotFound)
    assert lost.unfinished == (of_type(heard, SpeechStarted)[1].utterance_id,)
    (new,) = of_type(heard, NewSession)
    assert (new.previous_session_id, new.lost) == (before, None)
    assert talking.stream.session_id == new.session_id != before
    first, *rest = finals(heard)
    assert {first.session_id, *(final.session_id for final in rest)} == {before, new.session_id}
    starts_s = [
        first.audio_start.seconds,
        *(new.origin.seconds + final.audio_start.seconds for final in rest),
    ]
    assert starts_s == pytest.approx([final.audio_start.seconds for final in undisturbed], abs=0.2)
    assert len({final.utterance_id for final in finals(heard)}) == 4
    at = heard.index(new)
    for session in (heard[:at], heard[at:]):
        assert sorted(sequences(session)) == list(range(1, len(sequences(session)) + 1))
    assert talking.stream.lost_samples == 0


async def test_what_the_ring_has_no_more_is_told() -> None:
    async with talk(replace(LIVE, ring_s=1)) as talking:
        await talking.proxy.refuse()
        talking.lose()
        await until(lambda: isinstance(talking.stream.state, Reconnecting))
        await play(talking.stream, SHORT[WITHIN_2 : WITHIN_2 + 48_000])
        await talking.proxy.accept()
        await talking.has(NewSession)
        (new,) = of_type(talking.events, NewSession)
        caught_up = WITHIN_2 + 48_000 - new.origin_samples - 8_000
        await until(
            lambda: any(
                each.session_id == new.session_id and each.received_until_samples > caught_up
                for each in of_type(talking.events, Progress)
            )
        )
        await talking.finish(WITHIN_2 + 48_000)
    assert new.lost is not None
    assert new.origin_samples == new.lost.end_samples == WITHIN_2 + 32_000
    last_final = finals(talking.events)[0].audio_end.samples(16_000)
    assert new.lost.start_samples >= last_final
    assert new.lost.seconds == (new.lost.end_samples - new.lost.start_samples) / 16_000
    assert talking.stream.lost_samples == new.lost.end_samples - new.lost.start_samples


async def test_consent_that_was_withdrawn_stays_so() -> None:
    async with talk() as talking:
        await (await talking.stream.withdraw_consent()).done()
        talking.lose()
        await talking.finish(WITHIN_2)
        after = finals(talking.events[talking.events.index(of_type(talking.events, NewSession)[0]) :])
    assert len(after) == 3
    assert {final.status for final in after} == {AffectStatus.CONSENT_WITHHELD}
    assert not any(final.emotions for final in after)


async def test_a_turn_that_is_open_stays_so() -> None:
    async with talk() as talking:
        await (await talking.stream.turn_started("t1")).done()
        talking.lose()
        await talking.has(NewSession)
        await play(talking.stream, SHORT[WITHIN_2:])
        await (await talking.stream.turn_ended("t1")).done()
        await talking.finish(len(SHORT))
    (turn,) = of_type(talking.events, TurnAffect)
    assert (turn.turn_id, len(turn.utterance_ids)) == ("t1", 2), "those that began in it"
    assert of_type(talking.events, events.Warning) == []


async def test_positions_count_on_for_the_caller() -> None:
    async with talk() as talking:
        talking.lose()
        await talking.has(NewSession)
        (new,) = of_type(talking.events, NewSession)
        assert talking.stream.position_samples == WITHIN_2
        await talking.stream.send(SHORT[WITHIN_2 - 1_600 : WITHIN_2 + 1_600], start_samples=WITHIN_2 - 1_600)
        assert talking.stream.position_samples == WITHIN_2 + 1_600
        flushed = await talking.stream.flush(position_samples=WITHIN_2 + 800)
        done = await flushed.done()
        assert done.position_samples + new.origin_samples == WITHIN_2 + 800
        await talking.finish(WITHIN_2 + 1_600)


async def test_words_count_on_for_the_caller() -> None:
    """Those that were given while there was no server, too."""
    english = replace(PATIENT, language_code="en")
    async with talk(config=english, settings={"fusion": {"text": "lexicon"}}) as talking:
        stream = talking.stream
        spans = [
            (final.audio_start.samples(16_000), final.audio_end.samples(16_000))
            for final in finals(await uncut(talking.second.address, SHORT))
        ]

        async def say(utterance: int, until_samples: int) -> SentControl:
            start, end = spans[utterance]
            return await stream.transcript(
                "this is wonderful", start_samples=start, end_samples=min(end, until_samples)
            )

        await talking.proxy.refuse()
        talking.lose()
        await until(lambda: isinstance(stream.state, Reconnecting))
        early = await say(1, WITHIN_2)
        await talking.proxy.accept()
        await early.done()
        await play(stream, SHORT[WITHIN_2:WITHIN_3])
        await (await say(2, WITHIN_3 + 8_000)).done()
        with pytest.raises(ControlWithoutEffect) as settled:
            await (await say(0, WITHIN_2)).done()
        await talking.finish(WITHIN_3)
    assert settled.value.reason == "POSITION_OUT_OF_RANGE"
    assert [final.text_fused for final in finals(talking.events)] == [False, True, True, False]


async def test_a_name_that_the_caller_gave_is_numbered() -> None:
    async with talk(config=replace(PATIENT, session_id="call-7")) as talking:
        assert talking.stream.session_id == "call-7"
        talking.lose()
        await talking.finish(WITHIN_2)
    assert talking.stream.session_id == "call-7.2"
    assert len({final.utterance_id for final in finals(talking.events)}) == 4


async def test_a_stream_that_wants_no_other_session_ends() -> None:
    async with talk(replace(RECORDING, new_session=False)) as talking:
        talking.lose()
        with pytest.raises(errors.NotFound) as lost:
            await asyncio.wait_for(talking.reading, 30)
        assert lost.value.reason == "SESSION_NOT_FOUND"
        assert isinstance(talking.events[-1], SessionLost)


async def test_a_server_that_drains_is_left_for_another() -> None:
    async with talk() as talking:
        draining = asyncio.create_task(talking.first.drain_and_stop())
        talking.proxy.retarget(talking.second.address)
        await talking.has(SessionLost)
        await talking.finish(WITHIN_2)
        await draining
    (lost,) = of_type(talking.events, SessionLost)
    assert lost.cause.reason == "DRAINING"
    reasons = [closed.reason for closed in of_type(talking.events, SessionClosed)]
    assert reasons == [CloseReason.DRAIN, CloseReason.END_OF_AUDIO]
    (new,) = of_type(talking.events, NewSession)
    assert new.outage_s >= 1, "as long as the server asked for"
    # The drained server gave the second utterance its final where it was cut, and the rest is heard anew.
    bounds = [
        (final.audio_start.ns + (0 if final.session_id != new.session_id else new.origin.ns))
        for final in finals(talking.events)
    ]
    assert bounds == sorted(set(bounds))
    assert len(bounds) >= 4


async def test_a_session_that_was_away_for_too_long_is_lost() -> None:
    async with (
        running_server({"server": {"resume_s": 0.2}}) as server,
        FaultProxy(server.address) as proxy,
        AffectClient(proxy.address) as client,
        client.stream(PATIENT, reconnect=LIVE) as stream,
    ):
        heard: list[Event] = []
        reading = asyncio.create_task(collect(stream, heard))
        await play(stream, SHORT[:WITHIN_2])
        await proxy.refuse()
        proxy.cut()
        await asyncio.sleep(0.6)
        await proxy.accept()
        await until(lambda: isinstance(stream.state, NewSession))
        assert isinstance(stream.state, Connected)
        await stream.end()
        await reading
    assert len(of_type(heard, SessionLost)) == 1


async def test_a_stream_that_begins_at_a_server_that_drains_begins_at_another() -> None:
    async with (
        running_server() as second,
        running_server({"server": {"drain_s": 2}}) as first,
        FaultProxy(first.address) as proxy,
        AffectClient(proxy.address) as client,
        client.stream(PATIENT) as speaking,
    ):
        await play(speaking, SHORT[:WITHIN_2])
        draining = asyncio.create_task(first.drain_and_stop())
        while not isinstance(await anext(speaking), events.SessionClosing):
            pass
        with pytest.raises(errors.ServerUnavailable) as refused:
            async with client.stream(PATIENT):
                pass
        assert refused.value.reason == "DRAINING", "told at once to those who did not ask to reconnect"
        stream = client.stream(PATIENT, reconnect=RECORDING)
        entering = asyncio.create_task(stream.__aenter__())
        await asyncio.sleep(0.2)
        assert not entering.done()
        proxy.retarget(second.address)
        await entering
        assert len(finals(await whole(stream, SHORT))) == 4
        await stream.__aexit__(None, None, None)
        await draining
