"""AnalyzeUtterance: the values of a stream in one call, and a clear refusal of what it cannot take."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from tests.support.opus import ogg_opus, pages
from tests.support.speech import sample_talk, talks, tone
from tests.support.wire import error_info, finals, running_server, seconds, stream_talk, stub

UTTERANCE = sample_talk()[16_000:52_000]
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def request(data: bytes = UTTERANCE.tobytes(), **fields: Any) -> pb.AnalyzeUtteranceRequest:
    fields.setdefault("audio", form())
    return pb.AnalyzeUtteranceRequest(data=data, **fields)


def form(
    encoding: pb.AudioEncoding.ValueType = pb.AUDIO_ENCODING_LINEAR16,
    rate_hz: int = 16_000,
    channels: int = 1,
) -> pb.AudioFormat:
    return pb.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channel_count=channels)


async def analyze(address: str, asked: pb.AnalyzeUtteranceRequest, timeout_s: float = 10) -> pb.AffectEvent:
    async with stub(address) as service:
        return (await service.AnalyzeUtterance(asked, timeout=timeout_s)).event


async def refusal(address: str, asked: pb.AnalyzeUtteranceRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await analyze(address, asked)
    return caught.value


def values(event: pb.AffectEvent) -> list[float]:
    """Emotions, dimensions and uncertainty in one list."""
    dims = [getattr(event.dimensions, name) for name in ("valence", "arousal", "dominance")]
    return [
        *(score.probability for score in event.emotions),
        *dims,
        event.uncertainty.entropy,
        event.uncertainty.margin,
    ]


@pytest.mark.timeout(240)
async def test_stream_and_call_agree_on_every_utterance_of_six_talks(
    server_address: str, speech: Path
) -> None:
    compared = 0
    async with stub(server_address) as service:
        for talk in talks(speech):
            for final in finals(await stream_talk(server_address, talk.samples)):
                start, end = (round(seconds(at) * 16_000) for at in (final.audio_start, final.audio_end))
                asked = request(talk.samples[start:end].tobytes())
                event = (await service.AnalyzeUtterance(asked)).event
                if not final.emotions:
                    continue
                assert values(event) == pytest.approx(values(final), abs=1e-5)
                assert [score.label for score in event.emotions] == [score.label for score in final.emotions]
                assert (event.status, event.top_label) == (final.status, final.top_label)
                assert round(seconds(event.audio_end) * 16_000) == end - start
                compared += 1
    assert compared >= 84


async def test_the_event_is_final_and_holds_nothing_of_a_session(server_address: str) -> None:
    event = await analyze(server_address, request(utterance_id="u-7", language_code="de"))
    assert (event.utterance_id, event.stage, event.trigger) == (
        "u-7",
        pb.STAGE_FINAL,
        pb.TRIGGER_END_OF_AUDIO,
    )
    assert (seconds(event.audio_start), seconds(event.audio_end)) == (0, 2.25)
    assert seconds(event.quality.speech_duration) == 2.25
    assert event.timing.compute_ms > 0
    assert not event.timing.HasField("hangover_ms")
    assert not event.timing.HasField("decision_ms")
    assert not event.HasField("change")
    assert (event.turn_id, event.continues_utterance_id) == ("", "")
    assert not event.quality.barge_in
    assert not event.embedding
    assert event.model.name == "affect-embedded"


async def test_embedding_comes_when_asked_for_and_ids_are_made(server_address: str) -> None:
    event = await analyze(server_address, request(outputs=pb.OutputConfig(embedding=True)))
    other = await analyze(server_address, request())
    assert len(event.embedding) == event.model.embedding_size > 0
    assert len(event.utterance_id) == 32
    assert event.utterance_id != other.utterance_id


async def test_too_short_is_said_by_its_length(server_address: str) -> None:
    event = await analyze(server_address, request(UTTERANCE[:3_200].tobytes()))
    assert event.status == pb.AFFECT_STATUS_INSUFFICIENT_SPEECH
    assert not event.emotions
    assert "200 ms" in event.status_detail


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
async def test_other_rates_and_channels_keep_the_length(server_address: str, rate_hz: int) -> None:
    left, right = tone(1.5, rate_hz), tone(1.5, rate_hz, hz=300)
    stereo = np.stack([left, right], axis=1).astype("<f4").tobytes()
    audio = form(pb.AUDIO_ENCODING_FLOAT32, rate_hz, 2)
    event = await analyze(server_address, request(stereo, audio=audio, channel=1))
    assert seconds(event.audio_end) == pytest.approx(1.5, abs=1 / 16_000)
    mono = request(right.tobytes(), audio=form(pb.AUDIO_ENCODING_FLOAT32, rate_hz))
    assert values(await analyze(server_address, mono)) == pytest.approx(values(event), abs=1e-5)


async def test_ogg_opus_is_heard_as_what_it_holds(server_address: str) -> None:
    audio = form(pb.AUDIO_ENCODING_OGG_OPUS, 48_000)
    event = await analyze(server_address, request(ogg_opus(UTTERANCE), audio=audio))
    plain = await analyze(server_address, request())
    assert seconds(event.audio_end) == seconds(plain.audio_end)
    assert event.top_label == plain.top_label


async def test_clipped_audio_is_said(server_address: str) -> None:
    loud = np.clip(UTTERANCE.astype(np.int32) * 50, -32_768, 32_767).astype("<i2")
    assert (await analyze(server_address, request(loud.tobytes()))).quality.clipped


TORN = bytearray(b"".join(pages(ogg_opus(UTTERANCE))[:3]))
TORN[-5] ^= 0xFF
OGG = form(pb.AUDIO_ENCODING_OGG_OPUS, 48_000)
BROKEN = {
    "no audio": (request(b""), "NO_AUDIO", "data", "empty"),
    "no format": (
        request(audio=pb.AudioFormat()),
        "UNKNOWN_ENCODING",
        "audio.encoding",
        "AUDIO_ENCODING_UNSPECIFIED",
    ),
    "rate too low": (request(audio=form(rate_hz=7_999)), "BAD_SAMPLE_RATE", "audio.sample_rate_hz", "7999"),
    "odd bytes": (request(b"\0" * 641), "PARTIAL_FRAME", "data", "641 bytes"),
    "too long": (request(bytes(960_002)), "UTTERANCE_TOO_LONG", "data", "30000 ms"),
    "too long in ogg": (
        request(ogg_opus(np.zeros(31 * 16_000, np.int16)), audio=OGG),
        "UTTERANCE_TOO_LONG",
        "data",
        "30",
    ),
    "no number": (
        request(np.array([0, np.nan], "<f4").tobytes(), audio=form(pb.AUDIO_ENCODING_FLOAT32)),
        "NOT_FINITE",
        "data",
        "nan at sample 1",
    ),
    "no channel chosen": (request(audio=form(channels=2)), "NO_CHANNEL", "channel", "unset"),
    "no such channel": (request(channel=1), "NO_SUCH_CHANNEL", "channel", "1"),
    "unknown model": (request(model="whisper"), "UNKNOWN_MODEL", "model", "whisper"),
    "long id": (request(utterance_id="x" * 65), "INVALID_FIELD", "utterance_id", "65 bytes"),
    "provisional events": (
        request(outputs=pb.OutputConfig(provisional_interval_ms=500)),
        "INVALID_FIELD",
        "outputs.provisional_interval_ms",
        "500",
    ),
    "progress": (
        request(outputs=pb.OutputConfig(progress_interval_ms=500)),
        "INVALID_FIELD",
        "outputs.progress_interval_ms",
        "500",
    ),
    "no ogg": (request(audio=OGG), "NOT_OPUS", "data", "something else"),
    "damaged ogg": (request(bytes(TORN), audio=OGG), "AUDIO_CORRUPT", "data", "at 0."),
    "channels of another stream": (
        request(ogg_opus(UTTERANCE), audio=form(pb.AUDIO_ENCODING_OGG_OPUS, 48_000, 2), channel=0),
        "CHANNEL_MISMATCH",
        "audio.channel_count",
        "2",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_request_is_refused_by_field_value_and_limit(server_address: str, case: str) -> None:
    asked, reason, field, value = BROKEN[case]
    error = await refusal(server_address, asked)
    info = error_info(error)
    assert (error.code(), info.reason, info.metadata["field"]) == (INVALID, reason, field)
    assert value in info.metadata["value"]
    assert info.metadata["limit"]
    assert info.metadata["limit"] in (error.details() or "")


@pytest.mark.parametrize(
    "asked",
    [
        request(audio=form(pb.AUDIO_ENCODING_OPUS_PACKETS, 48_000)),
    ],
    ids=["packets without bounds"],
)
async def test_what_is_not_served_is_refused(server_address: str, asked: pb.AnalyzeUtteranceRequest) -> None:
    error = await refusal(server_address, asked)
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED")


async def test_roles_that_the_law_protects_are_refused(server_address: str) -> None:
    error = await refusal(server_address, request(subject_role=pb.SUBJECT_ROLE_EMPLOYEE))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert error_info(error).reason == "ROLE_REFUSED"


async def test_server_can_require_a_consent_basis() -> None:
    async with running_server({"consent": {"required": True}}) as server:
        error = await refusal(server.address, request())
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert error_info(error).metadata["field"] == "consent_basis"
        granted = request(consent_basis=pb.CONSENT_BASIS_CONSENT)
        assert (await analyze(server.address, granted)).emotions


async def test_ten_mebibytes_may_come_and_no_more(server_address: str) -> None:
    audio = form(pb.AUDIO_ENCODING_FLOAT32, 48_000, 2)
    fits = request(np.zeros((27 * 48_000, 2), "<f4").tobytes(), audio=audio, channel=0)
    assert fits.ByteSize() > 0.98 * LIMITS.analyze_bytes
    assert (await analyze(server_address, fits)).model.name
    error = await refusal(server_address, request(bytes(LIMITS.analyze_bytes)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_are_served_at_once_are_told_when_to_come_again() -> None:
    async with running_server({"server": {"max_analyses": 1}}) as server:
        answers = await asyncio.gather(
            *(analyze(server.address, request(UTTERANCE.repeat(12).tobytes())) for _ in range(6)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert 1 <= len(refused) <= 5
        for error in refused:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert error_info(error).reason == "TOO_MANY_ANALYSES"
        assert (await analyze(server.address, request())).emotions
        assert server.pipeline.analyzer.in_flight == 0


async def test_the_callers_deadline_bounds_the_scoring_and_leaves_nothing() -> None:
    async with running_server() as server:
        queue = [asyncio.create_task(analyze(server.address, request(bytes(960_000)))) for _ in range(40)]
        while server.pipeline.load.in_flight < 20:
            await asyncio.sleep(0.001)
        (answer,) = await asyncio.gather(
            analyze(server.address, request(), timeout_s=0.05), return_exceptions=True
        )
        if isinstance(answer, pb.AffectEvent):
            assert answer.status == pb.AFFECT_STATUS_DEADLINE_EXCEEDED
        else:
            assert isinstance(answer, grpc.aio.AioRpcError)
            assert answer.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert any(not call.done() for call in queue), "it did not wait for its turn"
        await asyncio.gather(*queue)
        async with asyncio.timeout(30):
            while (server.pipeline.analyzer.in_flight, server.pipeline.load.in_flight) != (0, 0):
                await asyncio.sleep(0.01)
        assert (await analyze(server.address, request())).emotions


async def test_a_draining_server_finishes_what_it_has_and_refuses_more() -> None:
    async with running_server({"server": {"drain_s": 2}}) as server, stub(server.address) as service:
        await service.AnalyzeUtterance(request())
        in_hand = asyncio.create_task(analyze(server.address, request(UTTERANCE.repeat(12).tobytes())))
        while not server.pipeline.analyzer.in_flight:
            await asyncio.sleep(0.001)
        draining = asyncio.create_task(server.pipeline.drain(2))
        await asyncio.sleep(0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.AnalyzeUtterance(request())
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert error_info(caught.value).reason == "DRAINING"
        assert (await in_hand).emotions
        await asyncio.wait_for(draining, 5)


async def test_info_says_that_it_is_on(server_address: str) -> None:
    async with stub(server_address) as service:
        info = await service.GetServerInfo(pb.GetServerInfoRequest())
    assert {pb.FEATURE_ANALYZE_UTTERANCE, pb.FEATURE_OPUS} <= set(info.features)
    limits = {limit.name: limit.value for limit in info.limits.limits}
    assert (limits["analyze_bytes"], limits["analyze_ms"], limits["analyses"]) == (10 * 2**20, 30_000, 64)


async def test_without_its_extra_opus_is_refused_by_its_name(
    server_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    error = await refusal(server_address, request(ogg_opus(UTTERANCE), audio=OGG))
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED")
    assert "extra opus" in (error.details() or "")
    async with stub(server_address) as service:
        info = await service.GetServerInfo(pb.GetServerInfoRequest())
    assert pb.AUDIO_ENCODING_OGG_OPUS not in info.encodings
    assert pb.FEATURE_OPUS not in info.features
