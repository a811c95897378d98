"""How streams end: said, abandoned, stalled, too slow, drained."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from tests.support.process import start_process
from tests.support.speech import sample_talk
from tests.support.waiting import waiting
from tests.support.wire import (
    END,
    Request,
    audio,
    chunks,
    config,
    converse,
    details_of,
    error_info,
    exchange,
    finals,
    of_kind,
    refusal,
    running_server,
    seconds,
    stub,
)

Events = list[pb.SessionEvent]


def talk_until(events: Events, stop: Callable[[Events], bool]) -> AsyncIterator[Request]:
    """The sample talk, sent until ``stop`` says so of the events seen so far."""

    async def send() -> AsyncIterator[Request]:
        yield config()
        for chunk in chunks(sample_talk().tobytes()):
            if stop(events):
                return
            yield chunk
            await asyncio.sleep(0.001)

    return send()


def speech_is_open(events: Events) -> bool:
    return len(of_kind(events, "speech_started")) > len(of_kind(events, "speech_ended"))


async def gone(server: Server) -> None:
    """Wait until no session is left, at most a second."""
    async with asyncio.timeout(30), waiting() as waited:
        while server.pipeline.streams:
            await asyncio.sleep(0.005)
        assert waited.seconds < 1


@pytest.mark.fault("half-close")
async def test_end_of_audio_ends_the_open_utterance_and_says_so(server_address: str) -> None:
    events: Events = []

    async def send() -> AsyncIterator[Request]:
        async for request in talk_until(events, speech_is_open):
            yield request
        yield Request(control=pb.Control(control_id="bye", end_of_audio=pb.EndOfAudio()))

    await exchange(server_address, send(), events)
    assert finals(events)[-1].trigger == pb.TRIGGER_END_OF_AUDIO
    assert of_kind(events, "control_done")[0].control_id == "bye"
    assert [e.WhichOneof("event") for e in events[-2:]] == ["session_summary", "session_closed"]
    summary = of_kind(events, "session_summary")[0]
    assert summary.utterances == len(finals(events)) == sum(summary.finals_by_status.values())


@pytest.mark.fault("half-close")
async def test_half_close_without_end_of_audio_is_abandoned() -> None:
    async with running_server() as server:
        events: Events = []
        await exchange(server.address, talk_until(events, speech_is_open), events)
        assert len(of_kind(events, "speech_started")) == len(finals(events)) + 1
        assert not of_kind(events, "session_closed")
        await gone(server)


@pytest.mark.fault("lost call")
async def test_cancelled_call_frees_its_session() -> None:
    async with running_server() as server:
        events: Events = []
        async with stub(server.address) as service:
            call = service.StreamAffect(talk_until(events, lambda _: False))
            async for response in call:
                events.append(response.event)
                if speech_is_open(events):
                    break
            assert server.pipeline.streams == 1
            call.cancel()
            await gone(server)


async def test_audio_that_stops_coming_ends_the_utterance() -> None:
    stall_ms = 300
    async with running_server({"endpointing": {"stall_ms": stall_ms}}) as server, waiting() as waited:
        events: Events = []
        stalled_at = late_s = 0.0

        async def send() -> AsyncIterator[Request]:
            nonlocal stalled_at, late_s
            async for request in talk_until(events, speech_is_open):
                yield request
            stalled_at, late_s = time.time(), waited.late_s
            while not (of_kind(events, "speech_ended") and finals(events)):
                await asyncio.sleep(0.01)
            late_s = waited.late_s - late_s
            yield END

        await exchange(server.address, send(), events)
        final = finals(events)[-1]
        assert final.trigger == pb.TRIGGER_AUDIO_STALLED
        assert not final.timing.HasField("decision_ms"), "the clock decided, not a sample"
        told_at = next(e.server_time.ToNanoseconds() for e in reversed(events) if e.HasField("affect")) / 1e9
        lag_s = told_at - stalled_at
        assert stall_ms / 1_000 - 0.05 <= lag_s <= stall_ms / 1_000 + 5 * 0.1 + late_s


async def test_a_pause_while_nobody_speaks_ends_nothing(server_address: str) -> None:
    async def send() -> AsyncIterator[Request]:
        yield config()
        yield audio(bytes(16_000))
        await asyncio.sleep(0.8)
        yield audio(bytes(16_000))
        yield END

    events = await exchange(server_address, send(), [])
    assert not of_kind(events, "speech_ended")
    assert of_kind(events, "session_summary")[0].audio_duration.seconds == 1


async def test_a_client_that_never_half_closes_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectstream_server.edge.service._HALF_CLOSE_GRACE_S", 0.2)
    async with running_server() as server, stub(server.address) as service:
        call = service.StreamAffect()
        await call.write(config())
        await call.write(END)
        events = [response.event async for response in call]
        assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
        assert await call.code() == grpc.StatusCode.OK
        await gone(server)


async def test_a_call_without_config_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affectstream_server.edge.service.CONFIG_DEADLINE_S", 0.2)
    async with running_server() as server, stub(server.address) as service:
        call = service.StreamAffect()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error_info(caught.value).reason == "CONFIG_MUST_BE_FIRST"
        await gone(server)


@pytest.mark.fault("limits reached")
async def test_streams_over_the_limit_are_refused_with_a_time_to_retry() -> None:
    async with running_server({"server": {"max_streams": 1}}) as server, stub(server.address) as service:
        first = service.StreamAffect()
        await first.write(config())
        await first.read()
        error = await refusal(server.address, [config(), END])
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        info = error_info(error)
        assert (info.reason, info.metadata["limit"]) == ("TOO_MANY_STREAMS", "1")
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in details_of(error))
        assert retry.retry_delay.ToMilliseconds() > 0
        await first.write(END)
        await first.done_writing()
        while (response := await first.read()) is not grpc.aio.EOF:
            last: Any = response
        assert last.event.HasField("session_closed")
        assert (await converse(server.address, [config(), END]))[-1].HasField("session_closed")


@pytest.mark.fault("faster than real time")
async def test_a_fast_sender_waits_and_loses_nothing(figure: Callable[[str], None]) -> None:
    async with running_server() as server:
        talk = sample_talk()
        largest = 0

        async def watch() -> None:
            nonlocal largest
            while True:
                for session in server.pipeline.sessions:
                    largest = max(largest, *(channel.undecided for channel in session.channels), 0)
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        events = await converse(server.address, [config(), *chunks(talk.tobytes(), 32_000), END])
        watcher.cancel()
        figure(f"at most {largest / 16_000:.2f} s of audio undecided (wanted: 2)")
        assert largest <= 2 * 16_000, "at most 2 s of audio undecided"
        assert of_kind(events, "session_summary")[0].audio_duration.seconds == len(talk) // 16_000


@pytest.mark.fault("slow reader")
async def test_slow_reader_is_cut_off_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = "affectstream_server.stages.emit.LIMITS"
    from affectstream.contract import Limits

    monkeypatch.setattr(limits, Limits(event_queue_bytes=2_000, slow_reader_ms=200))
    async with running_server() as server:

        async def flood() -> AsyncIterator[Request]:
            yield config(outputs=pb.OutputConfig(progress_interval_ms=100, embedding=True))
            while True:
                for chunk in chunks(sample_talk().tobytes(), 32_000):
                    yield chunk

        options = [("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0)]
        async with grpc.aio.insecure_channel(server.address, options=options) as raw:
            call = raw.stream_stream(
                "/affectstream.v1.AffectService/StreamAffect",
                request_serializer=Request.SerializeToString,
                response_deserializer=pb.StreamAffectResponse.FromString,
            )(flood())
            await asyncio.sleep(1)
            await gone(server)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_info(caught.value).reason == "SLOW_READER"


@pytest.mark.fault("SIGTERM")
async def test_sigterm_finishes_the_open_utterance_and_exits_with_0() -> None:
    process, address = start_process()
    try:
        events: Events = []
        sent_signal = False

        async def send() -> AsyncIterator[Request]:
            nonlocal sent_signal
            yield config()
            for chunk in chunks(sample_talk().tobytes()):
                if speech_is_open(events) and not sent_signal:
                    process.send_signal(signal.SIGTERM)
                    sent_signal = True
                yield chunk
                await asyncio.sleep(0.002)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await exchange(address, send(), events)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert error_info(caught.value).reason == "DRAINING"
        closing = of_kind(events, "session_closing")[0]
        assert closing.reason == pb.CLOSE_REASON_DRAIN
        assert 0 < seconds(closing.grace) <= 10
        assert len(finals(events)) == len(of_kind(events, "speech_started")), "the open one was finished"
        assert events[-1].session_closed.reason == pb.CLOSE_REASON_DRAIN
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.fault("SIGTERM")
async def test_draining_server_refuses_new_streams() -> None:
    async with running_server({"server": {"drain_s": 3}}) as server, stub(server.address) as service:
        call = service.StreamAffect()
        await call.write(config())
        await call.read()
        draining = asyncio.create_task(server.pipeline.drain(3))
        await asyncio.sleep(0)
        error = await refusal(server.address, [config()])
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        call.cancel()
        await draining


@pytest.mark.fault("lost call")
async def test_a_call_that_is_cancelled_after_its_end_leaves_no_task_behind(server_address: str) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with stub(server_address) as service:
        for number in range(24):
            call = service.StreamAffect()
            for request in (config(), *chunks(sample_talk()[: 16 * 20_000].tobytes(), 32_000), END):
                await call.write(request)
            await call.done_writing()
            await asyncio.sleep(number / 200)  # some are cancelled while the last finals are made
            call.cancel()
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
