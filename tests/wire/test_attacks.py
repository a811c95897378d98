"""Faults that an attack once found: each ends with a clear answer, and nobody else notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.wire import (
    END,
    Request,
    audio,
    chunks,
    config,
    converse,
    error_info,
    exchange,
    finals,
    of_kind,
    refusal,
    running_server,
    seconds,
    stub,
)
from tests.wire.test_controls import CALLER, control, ended, flush, started, warnings

TALK = sample_talk().tobytes()
ZEROS = bytes(6_400)


def numbered(data: bytes, start: int) -> Request:
    return Request(audio=pb.AudioChunk(data=data, start_samples=start))


def stereo(**fields: Any) -> Request:
    both = [pb.ChannelConfig(index=i, analyze=True) for i in range(2)]
    return config(channel_count=2, channels=both, **fields)


@pytest.mark.parametrize(
    "code", ["klingon_x", "en-", "-en", "e", "en--GB", "en GB", "englisches", "en\n", "日本語"]
)
async def test_a_language_code_that_is_no_tag_is_refused(server_address: str, code: str) -> None:
    info = error_info(await refusal(server_address, [config(language_code=code)])).metadata
    assert (info["field"], info["limit"]) == (
        "config.language_code",
        "a BCP 47 tag, such as en or zh-Hant-SG",
    )


async def test_a_long_language_code_is_refused_at_once(server_address: str) -> None:
    began = time.process_time()
    error = await refusal(server_address, [config(language_code="-" * 60_000)])
    assert error_info(error).metadata["field"] == "config.language_code"
    async with stub(server_address) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
            await service.AnalyzeUtterance(
                pb.AnalyzeUtteranceRequest(audio=form, data=bytes(16_000), language_code="-" * 300_000)
            )
    assert error_info(caught.value).metadata["field"] == "language_code"
    assert time.process_time() - began < 5


async def test_a_burst_of_events_after_the_half_close_ends_with_a_status() -> None:
    async with running_server() as server:
        requests = [config(session_id="s" * 64, endpointing=CALLER), *chunks(TALK[:48_000]), started(16_000)]
        for number in range(3_000):
            name = f"{number:064d}"
            requests.append(control(turn_started=pb.TurnStarted(turn_id=name)))
            requests.append(control(turn_ended=pb.TurnEnded(turn_id=name)))
        try:
            events = await asyncio.wait_for(converse(server.address, [*requests, END]), 30)
            assert events[-1].HasField("session_closed")
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - either end is a clear one
        assert (await converse(server.address, [config(), END]))[-1].HasField("session_closed")


async def test_a_drain_passes_a_stream_that_waits_for_its_last_score(monkeypatch: pytest.MonkeyPatch) -> None:
    from affectstream_server.scoring.embedded import EmbeddedScorer

    score = EmbeddedScorer.score

    async def late(self: EmbeddedScorer, *arguments: object) -> object:
        await asyncio.sleep(1.0)
        return await score(self, *arguments)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(EmbeddedScorer, "score", late)
    async with running_server({"server": {"drain_s": 0.1}}) as server, stub(server.address) as service:
        idle = service.StreamAffect()
        await idle.write(config())
        await idle.read()
        requests = [config(endpointing=CALLER), started(0), *chunks(TALK[:64_000]), END]
        ending = asyncio.create_task(converse(server.address, requests))
        await asyncio.sleep(0.3)
        async with asyncio.timeout(10):
            await server.pipeline.drain(0.1)
        assert server.pipeline._clock is not None
        assert not server.pipeline._clock.done(), "the clock of the whole process goes on"
        result = (await asyncio.gather(ending, return_exceptions=True))[0]
        if isinstance(result, list):
            assert len(finals(result)) == 1
        else:
            assert isinstance(result, grpc.aio.AioRpcError)
            assert result.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_stream_without_config_does_not_hold_up_the_drain() -> None:
    async with running_server({"server": {"drain_s": 0.3}}) as server, stub(server.address) as service:
        call = service.StreamAffect()
        await call.wait_for_connection()
        while not server.pipeline.streams:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await server.pipeline.drain(0.3)


async def test_audio_that_was_heard_before_is_dropped_on_every_channel(server_address: str) -> None:
    events = await converse(server_address, [stereo(), numbered(ZEROS, 0), numbered(ZEROS, 0), END])
    assert of_kind(events, "progress")[-1].received_until_samples == len(ZEROS) // 4


@pytest.mark.fault("wrong audio")
@pytest.mark.parametrize(("size", "reason"), [(641, "PARTIAL_FRAME"), (32_002, "CHUNK_TOO_LONG")])
async def test_audio_that_was_heard_before_is_refused_as_it_would_have_been(
    server_address: str, size: int, reason: str
) -> None:
    heard = [numbered(ZEROS, 6_400 * number) for number in range(6)]
    error = await refusal(server_address, [config(), *heard, numbered(bytes(size), 0)])
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize("start", [-1, 2**63 - 1, 8 * 3_600 * 16_000 + 1])
async def test_positions_beyond_the_session_are_refused(server_address: str, start: int) -> None:
    error = await refusal(server_address, [config(), numbered(ZEROS, start)])
    assert (error.code(), error_info(error).metadata["field"]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "audio.start_samples",
    )


async def test_resuming_beyond_the_session_is_a_warning(server_address: str) -> None:
    resumed = control(2**63 - 1, audio_resumed=pb.AudioResumed())
    events = await converse(server_address, [config(), audio(ZEROS), resumed, audio(ZEROS), END])
    assert warnings(events) == ["POSITION_OUT_OF_RANGE"]


async def test_a_control_for_all_channels_reaches_those_that_can_take_it(server_address: str) -> None:
    begin = started(0, channel=1)
    requests = [stereo(endpointing=CALLER), begin, *chunks(TALK[:128_000], 1_280), flush(control_id="f"), END]
    events = await converse(server_address, requests)
    assert finals(events)[0].trigger == pb.TRIGGER_CLIENT_FLUSH
    assert [d.control_id for d in of_kind(events, "control_done")] == ["f"]
    assert not warnings(events)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
async def test_a_control_at_the_end_of_the_audio_takes_effect(server_address: str, rate_hz: int) -> None:
    pcm = bytes(rate_hz * 2)
    script = [started(0), *chunks(pcm, rate_hz // 25), ended(rate_hz, control_id="e")]
    events = await converse(server_address, [config(rate_hz=rate_hz, endpointing=CALLER), *script, END])
    (final,) = finals(events)
    assert (seconds(final.audio_end), final.trigger) == (1.0, pb.TRIGGER_SPEECH_ENDED)
    assert [d.control_id for d in of_kind(events, "control_done")] == ["e"]


async def test_a_control_beyond_the_end_says_that_it_has_no_effect(server_address: str) -> None:
    events = await converse(server_address, [config(), audio(ZEROS), flush(9_000, control_id="f"), END])
    (warning,) = of_kind(events, "warning")
    assert (warning.code, warning.control_id) == ("POSITION_OUT_OF_RANGE", "f")


async def test_withdrawn_consent_holds_at_once_at_any_rate_and_for_what_is_not_sent(
    server_address: str,
) -> None:
    withdrawn = control(48_000, consent_withdrawn=pb.ConsentWithdrawn(), control_id="w")
    requests = [
        config(rate_hz=48_000, endpointing=CALLER),
        control(turn_started=pb.TurnStarted(turn_id="t")),
        started(0),
        *chunks(TALK[:96_000], 1_920),
        withdrawn,
        END,
    ]
    events = await converse(server_address, requests)
    assert [f.status for f in finals(events)] == [pb.AFFECT_STATUS_CONSENT_WITHHELD]
    turn = of_kind(events, "turn_affect")[0]
    assert not turn.emotions
    assert not turn.HasField("dimensions")
    assert not of_kind(events, "session_summary")[0].states


async def test_messages_without_audio_do_not_keep_an_utterance_open() -> None:
    async with running_server({"endpointing": {"stall_ms": 300}}) as server:

        async def send() -> AsyncIterator[Request]:
            yield config(endpointing=CALLER)
            yield started(0)
            yield audio(TALK[:32_000])
            for _ in range(10):
                yield audio(b"")
                await asyncio.sleep(0.1)
            yield END

        events = await exchange(server.address, send(), [])
    assert finals(events)[0].trigger == pb.TRIGGER_AUDIO_STALLED


async def test_an_earlier_mark_comes_before_a_later_cut(server_address: str) -> None:
    rules = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, max_utterance_ms=1_000)
    script = [started(0), ended(15_000), audio(TALK[:28_000]), audio(TALK[:32_000])]
    (final,) = finals(await converse(server_address, [config(endpointing=rules), *script, END]))
    assert (seconds(final.audio_end), final.trigger) == (15_000 / 16_000, pb.TRIGGER_SPEECH_ENDED)


async def test_no_utterance_is_longer_than_the_maximum(server_address: str) -> None:
    rules = pb.EndpointingConfig(max_utterance_ms=1_000, pre_roll_ms=1_000, min_speech_ms=1_000)
    got = finals(
        await converse(server_address, [config(endpointing=rules), *chunks(TALK[: 32_000 * 8]), END])
    )
    assert got
    assert max(seconds(f.audio_end) - seconds(f.audio_start) for f in got) <= 1.0


async def test_no_utterance_reaches_over_a_gap(server_address: str) -> None:
    rules = pb.EndpointingConfig(
        hangover_policy=pb.HANGOVER_POLICY_FIXED, hangover_ms=32, post_roll_ms=1_000, min_speech_ms=32
    )
    first = finals(
        await converse(server_address, [config(endpointing=rules), *chunks(TALK[: 32_000 * 8]), END])
    )[0]
    cut = round(seconds(first.audio_end) * 16_000) - 12
    requests = [config(endpointing=rules), *chunks(TALK[: 2 * cut]), numbered(ZEROS, cut + 16_000), END]
    events = await converse(server_address, requests)
    edge = seconds(of_kind(events, "gap")[0].audio_start)
    assert all(seconds(f.audio_end) <= edge or seconds(f.audio_start) >= edge + 1 for f in finals(events))


async def test_an_utterance_of_a_moment_is_too_short_and_not_the_models_fault(server_address: str) -> None:
    rules = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, min_utterance_ms=0)
    events = await converse(
        server_address, [config(endpointing=rules), started(0), audio(ZEROS), ended(549), END]
    )
    assert [f.status for f in finals(events)] == [pb.AFFECT_STATUS_INSUFFICIENT_SPEECH]


@pytest.mark.fault("garbage")
async def test_garbage_that_looks_like_ogg_is_cheap(server_address: str) -> None:
    setup = config(pb.AUDIO_ENCODING_OGG_OPUS, 48_000)

    async def health_ms() -> float:
        async with grpc.aio.insecure_channel(server_address) as channel:
            began = time.process_time()
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined] # untyped aio
            return (time.process_time() - began) * 1_000

    flood = asyncio.create_task(refusal(server_address, [setup, *[audio(b"OggS" * 15_000)] * 10, END]))
    worst = max([await health_ms() for _ in range(5)])
    await asyncio.gather(flood, return_exceptions=True)
    assert worst < 5 * 200


async def test_an_unknown_consent_basis_is_none(server_address: str) -> None:
    error = await refusal(server_address, [config(consent_basis=99)])
    assert error_info(error).metadata["field"] == "config.consent_basis"


async def test_a_turn_cannot_end_before_it_began(server_address: str) -> None:
    script = [
        *chunks(TALK[:64_000]),
        control(turn_started=pb.TurnStarted(turn_id="t")),
        control(0, turn_ended=pb.TurnEnded(turn_id="t")),
    ]
    events = await converse(server_address, [config(), *script, END])
    assert warnings(events) == ["POSITION_OUT_OF_RANGE"]
