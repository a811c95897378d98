"""A session that goes on over lines that break: nothing twice, nothing lost that the ring has."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from affectstream import (
    AffectClient,
    AffectStream,
    AudioEncoding,
    AudioFormat,
    Connected,
    ControlDone,
    Ended,
    Event,
    Gap,
    Reconnect,
    Reconnecting,
    Resumed,
    SessionClosed,
    SessionStarted,
    SpeechStarted,
    StreamConfig,
    errors,
)
from affectstream.v1 import affect_pb2 as pb
from tests.support.fault_proxy import FaultProxy
from tests.support.waiting import waiting
from tests.support.wire import converse, running_server
from tests.wire.client.talks import (
    LIVE,
    PATIENT,
    RECORDING,
    SHORT,
    TALK,
    collect,
    connected_at,
    finals,
    of_type,
    play,
    said,
    sequences,
    uncut,
    until,
    whole,
)


async def cut_often(
    proxy: FaultProxy, stream: AffectStream, times: int, samples: int, *, politely: bool
) -> int:
    """Cut the line at `times` places spread over the talk; gives how many calls were hit."""
    hit = 0
    for number in range(times):
        await connected_at(stream, (2 * number + 1) * samples // (2 * times))
        hit += proxy.cut(politely=politely)
        await until(lambda: not isinstance(stream.state, Connected))
    return hit


@pytest.mark.fault("broken line")
@pytest.mark.parametrize(
    ("policy", "speed", "politely"),
    # 12 times real time is more than a busy machine catches up with: the ring takes the whole talk.
    [(RECORDING, 0, False), (replace(LIVE, ring_s=60), 12, True)],
    ids=["reset", "ended"],
)
async def test_a_line_cut_20_times_in_a_talk_changes_nothing(
    proxy: FaultProxy, policy: Reconnect, speed: float, politely: bool
) -> None:
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=policy) as stream:
        cutting = asyncio.create_task(cut_often(proxy, stream, 20, len(TALK), politely=politely))
        events = await whole(stream, TALK, speed)
        assert await cutting == 20
    assert said(events) == said(await uncut(proxy.address)), "0 finals twice, 0 lost, the timeline unbroken"
    assert len({event.utterance_id for event in finals(events)}) == len(finals(events)) >= 10
    assert sorted(sequences(events)) == list(range(1, len(sequences(events)) + 1))
    resumed = of_type(events, Resumed)
    assert len(resumed) >= 20
    assert all(each.lost is None for each in resumed)
    assert stream.lost_samples == 0
    assert [event.epoch for event in of_type(events, SessionStarted)] == list(range(1, len(resumed) + 2))
    assert of_type(events, Gap) == []
    assert isinstance(events[-1], SessionClosed)
    assert stream.state == Ended(session_id=stream.session_id, cause=None)


async def test_live_audio_is_never_held_up_and_what_the_ring_lost_is_told() -> None:
    policy = replace(LIVE, ring_s=2)
    samples, slowest_s = TALK[: 16 * 22_000], 0.0
    async with (
        running_server() as server,
        FaultProxy(server.address) as proxy,
        AffectClient(proxy.address) as client,
        client.stream(PATIENT, reconnect=policy) as stream,
        waiting() as waited,
    ):
        events: list[Event] = []
        reading = asyncio.create_task(collect(stream, events))

        async def heard_until(position: int) -> None:
            (session,) = server.pipeline.sessions
            await until(lambda: session.hearing.frames >= position)

        for number, start in enumerate(range(0, len(samples), 1_600)):
            if number == 80:
                await heard_until(start)
                await proxy.refuse()
                proxy.cut()
                await until(lambda: isinstance(stream.state, Reconnecting))
            if number == 160:
                await proxy.accept()
                await until(lambda: isinstance(stream.state, Connected))
                await heard_until(start)  # at 16 times real time it could not catch up
            if not 80 <= number < 160:
                await heard_until(start - 16_000)
            before_s = waited.seconds
            await stream.send(samples[start : start + 1_600])
            slowest_s = max(slowest_s, waited.seconds - before_s)
            await asyncio.sleep(0.1 / 16)
        await stream.end()
        await reading
        uncut_finals = finals(await uncut(proxy.address, samples))
    assert slowest_s < 0.25, "no send waited for the line"
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert resumed.lost is not None
    assert 5.5 < resumed.lost.seconds <= 6.1, "8 s without a line, 2 s of them in the ring"
    assert stream.lost_samples == resumed.lost.end_samples - resumed.lost.start_samples
    (gap,) = [event for event in events if isinstance(event, Gap)]
    bounds = (gap.audio_start.samples(16_000), gap.audio_end.samples(16_000))
    assert bounds == (resumed.lost.start_samples, resumed.lost.end_samples), "the server misses just that"
    after = [final for final in uncut_finals if final.audio_start.ns > gap.audio_end.ns]
    assert len(after) >= 2
    for final, other in zip(finals(events)[-len(after) :], after, strict=True):
        # The detector begins anew after a hole: bounds may differ by its blocks of 32 ms.
        assert final.audio_start.seconds == pytest.approx(other.audio_start.seconds, abs=0.2)
        assert final.audio_end.seconds == pytest.approx(other.audio_end.seconds, abs=0.2)


async def test_a_recording_waits_for_the_line_and_loses_nothing(proxy: FaultProxy) -> None:
    policy = replace(RECORDING, ring_s=1)
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=policy) as stream:
        running = asyncio.create_task(whole(stream, SHORT))
        await connected_at(stream, 16_000)
        await proxy.refuse()
        proxy.cut()
        await until(lambda: isinstance(stream.state, Reconnecting))
        await asyncio.sleep(0.3)
        waits_at = stream.position_samples
        await asyncio.sleep(0.1)
        assert stream.position_samples == waits_at < len(SHORT)
        await proxy.accept()
        events = await running
    assert said(events) == said(await uncut(proxy.address, SHORT))
    assert stream.lost_samples == 0


async def test_a_frozen_line_is_given_up_for_another(proxy: FaultProxy) -> None:
    policy = replace(LIVE, ring_s=1)
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=policy) as stream:
        events: list[Event] = []
        reading = asyncio.create_task(collect(stream, events))
        playing = asyncio.create_task(play(stream, SHORT, 1.5))
        await connected_at(stream, 16_000)
        proxy.freeze()
        async with waiting() as waited:
            await until(lambda: isinstance(stream.state, Reconnecting))
            assert waited.seconds < 5 * (policy.stall_s + 1), "keepalive takes 15 s"
        assert isinstance(stream.state, Reconnecting)
        assert isinstance(stream.state.cause, errors.TimedOut)
        # New connections pass, the frozen ones stay as they are.
        proxy.leave_frozen()
        await until(lambda: isinstance(stream.state, Resumed))
        await playing
        await stream.end()
        await reading
    assert isinstance(events[-1], SessionClosed)


async def test_a_line_that_does_not_come_back_is_given_up(proxy: FaultProxy) -> None:
    policy = replace(LIVE, give_up_after_s=0.4)
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=policy) as stream:
        await stream.send(SHORT[:16_000])
        await proxy.refuse()
        proxy.cut()
        with pytest.raises(
            errors.GaveUp, match=r"gave up after \d+ attempts in 0 s: no server at"
        ) as given_up:
            await asyncio.wait_for(collect(stream, []), 30)
        assert given_up.value.retryable
        assert stream.state == Ended(session_id=stream.session_id, cause=given_up.value)
        with pytest.raises(errors.StreamClosed):
            await stream.send(SHORT[:320])


async def test_it_comes_back_soon_after_a_long_outage(proxy: FaultProxy) -> None:
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=LIVE) as stream:
        running = asyncio.create_task(whole(stream, SHORT, 2))
        await connected_at(stream, 3_200)
        await proxy.refuse()
        proxy.cut()
        await asyncio.sleep(2.5)
        await proxy.accept()
        async with waiting() as waited:
            await until(lambda: isinstance(stream.state, Connected))
            assert waited.seconds < 5 * LIVE.max_delay_s, "gRPC's own back-off does not count"
        events = await running
    assert said(events) == said(await uncut(proxy.address, SHORT))


async def test_a_control_that_was_given_without_a_line_takes_effect_once_and_in_its_place(
    proxy: FaultProxy,
) -> None:
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=LIVE) as stream:
        events: list[Event] = []
        reading = asyncio.create_task(collect(stream, events))
        await play(stream, TALK[:32_000])
        await until(lambda: any(isinstance(event, SpeechStarted) for event in events))
        await proxy.refuse()
        proxy.cut()
        await until(lambda: isinstance(stream.state, Reconnecting))
        await play(stream, TALK[32_000:35_200])
        flushed = await stream.flush()
        await play(stream, TALK[35_200:64_000])
        assert not [event for event in events if isinstance(event, ControlDone)]
        await proxy.accept()
        assert (await flushed.done()).position_samples == 35_200
        for _ in range(3):
            await until(lambda: isinstance(stream.state, Connected))
            proxy.cut()
            await until(lambda: isinstance(stream.state, Reconnecting))
        await stream.end()
        await reading
    done = [event for event in events if isinstance(event, ControlDone)]
    assert [event.control_id for event in done] == [flushed.control_id, "end"]
    flushes = [each for each in finals(events) if each.proto.affect.trigger == pb.TRIGGER_CLIENT_FLUSH]
    assert [each.audio_end.samples(16_000) for each in flushes] == [35_200]


async def test_the_last_finals_come_although_the_line_is_cut_after_the_end(proxy: FaultProxy) -> None:
    async with AffectClient(proxy.address) as client, client.stream(PATIENT, reconnect=LIVE) as stream:
        await play(stream, SHORT)
        await proxy.refuse()
        proxy.cut()
        await stream.end()
        await proxy.accept()
        events: list[Event] = []
        async with asyncio.timeout(30):
            await collect(stream, events)
    assert said(events) == said(await uncut(proxy.address, SHORT))


async def test_a_stream_that_grows_too_old_goes_on_at_once() -> None:
    async with (
        running_server({"server": {"stream_age_s": 1}}) as server,
        AffectClient(server.address) as client,
        client.stream(PATIENT, reconnect=LIVE) as stream,
    ):
        events = await whole(stream, SHORT, 2)
    resumed = of_type(events, Resumed)
    assert resumed
    assert all(each.attempts == 1 for each in resumed)
    assert all(state.next_try_s == 0 for state in of_type(events, Reconnecting))
    assert said(events) == said(await fresh_uncut())


async def fresh_uncut() -> list[Event]:
    """What a server that lets streams grow old hears."""
    async with running_server() as server:
        return await uncut(server.address, SHORT)


async def test_a_session_that_another_stream_took_is_not_fought_for(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream(PATIENT, reconnect=LIVE) as stream:
        await stream.send(SHORT[:16_000])
        config = pb.SessionConfig()
        config.CopyFrom(LIVE.request(PATIENT))
        config.resume.session_id = stream.session_id
        config.resume.resume_token = stream.started.resume_token
        end = pb.StreamAffectRequest(control=pb.Control(end_of_audio=pb.EndOfAudio()))
        other = asyncio.create_task(converse(server_address, [pb.StreamAffectRequest(config=config), end]))
        with pytest.raises(errors.Aborted, match="another stream") as taken:
            await asyncio.wait_for(collect(stream, []), 30)
        assert taken.value.reason == "SUPERSEDED"
        assert (await other)[0].session_started.resumed


async def test_leaving_without_a_line_is_quick(proxy: FaultProxy) -> None:
    async with AffectClient(proxy.address) as client, waiting() as waited:
        async with client.stream(PATIENT, reconnect=LIVE) as stream:
            await stream.send(SHORT[:16_000])
            await proxy.refuse()
            proxy.cut()
            await until(lambda: isinstance(stream.state, Reconnecting))
            before_s = waited.seconds
        assert waited.seconds - before_s < 1
        assert stream.state == Ended(session_id=stream.session_id, cause=None)
        with pytest.raises(RuntimeError, match="used once"):
            await stream.__aenter__()


async def test_the_first_call_is_tried_once(proxy: FaultProxy) -> None:
    await proxy.refuse()
    async with AffectClient(proxy.address) as client:
        with pytest.raises(errors.ConnectError, match="connection refused"):
            async with client.stream(PATIENT, reconnect=LIVE):
                pytest.fail("nobody listens")


async def test_compressed_audio_does_not_reconnect(server_address: str) -> None:
    config = StreamConfig(audio=AudioFormat(encoding=AudioEncoding.OPUS_PACKETS, sample_rate_hz=48_000))
    async with AffectClient(server_address) as client:
        with pytest.raises(ValueError, match="OPUS_PACKETS"):
            client.stream(config, reconnect=LIVE)
