"""What a broken or unserved request gets: a clear status at once, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk, tone
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
    stream_talk,
)

SILENCE = bytes(640)
INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNSERVED = grpc.StatusCode.UNIMPLEMENTED


def endpointing(**fields: Any) -> Request:
    return config(endpointing=pb.EndpointingConfig(**fields))


def control(**fields: Any) -> Request:
    return Request(control=pb.Control(**fields))


def channel(**fields: Any) -> pb.ChannelConfig:
    return pb.ChannelConfig(**fields)


BROKEN = {
    "audio before config": ([audio(SILENCE)], "CONFIG_MUST_BE_FIRST", "request", "audio"),
    "control before config": ([END], "CONFIG_MUST_BE_FIRST", "request", "control"),
    "second config": ([config(), config()], "SECOND_CONFIG", "request", "a second config"),
    "nothing set": ([config(), Request()], "EMPTY_REQUEST", "request", "nothing set"),
    "empty control": ([config(), control()], "EMPTY_CONTROL", "control.control", "nothing set"),
    "audio after the end": ([config(), END, audio(SILENCE)], "MESSAGE_AFTER_END", "request", "audio"),
    "end twice": ([config(), END, END], "MESSAGE_AFTER_END", "request", "control"),
    "no encoding": (
        [config(pb.AUDIO_ENCODING_UNSPECIFIED)],
        "UNKNOWN_ENCODING",
        "config.audio.encoding",
        "AUDIO_ENCODING_UNSPECIFIED",
    ),
    "unknown encoding": ([config(99)], "UNKNOWN_ENCODING", "config.audio.encoding", "99"),  # type: ignore[arg-type]
    "rate too low": ([config(rate_hz=7_999)], "BAD_SAMPLE_RATE", "config.audio.sample_rate_hz", "7999"),
    "rate too high": ([config(rate_hz=48_001)], "BAD_SAMPLE_RATE", "config.audio.sample_rate_hz", "48001"),
    "no rate": ([config(rate_hz=0)], "BAD_SAMPLE_RATE", "config.audio.sample_rate_hz", "0"),
    "too many channels": ([config(channel_count=9)], "BAD_CHANNEL_COUNT", "config.audio.channel_count", "9"),
    "no rate that Opus has": (
        [config(pb.AUDIO_ENCODING_OGG_OPUS, rate_hz=44_100)],
        "BAD_SAMPLE_RATE",
        "config.audio.sample_rate_hz",
        "44100",
    ),
    "more channels than Opus is taken with": (
        [config(pb.AUDIO_ENCODING_OPUS_PACKETS, rate_hz=48_000, channel_count=3)],
        "BAD_CHANNEL_COUNT",
        "config.audio.channel_count",
        "3",
    ),
    "positions beside Ogg's own": (
        [
            config(pb.AUDIO_ENCODING_OGG_OPUS, rate_hz=48_000),
            Request(audio=pb.AudioChunk(data=b"OggS", start_samples=0)),
        ],
        "INVALID_FIELD",
        "audio.start_samples",
        "0",
    ),
    "bytes that are no Ogg": (
        [config(pb.AUDIO_ENCODING_OGG_OPUS, rate_hz=48_000), audio(SILENCE)],
        "NOT_OPUS",
        "audio.data",
        "something else",
    ),
    "bytes that are no Opus": (
        [config(pb.AUDIO_ENCODING_OPUS_PACKETS, rate_hz=48_000), audio(b"\xff\xff\xff")],
        "NOT_OPUS",
        "audio.data",
        "something else",
    ),
    "stereo without a choice": ([config(channel_count=2)], "NO_CHANNEL", "config.channels", "empty"),
    "no such channel": (
        [config(channel_count=2, channels=[channel(index=2, analyze=True)])],
        "NO_SUCH_CHANNEL",
        "config.channels[0].index",
        "2",
    ),
    "channel twice": (
        [config(channel_count=2, channels=[channel(index=1, analyze=True), channel(index=1)])],
        "CHANNEL_TWICE",
        "config.channels[1].index",
        "1",
    ),
    "nothing to analyse": (
        [config(channels=[channel(index=0)])],
        "NO_CHANNEL",
        "config.channels",
        "none with analyze",
    ),
    "long participant": (
        [config(channels=[channel(analyze=True, participant_id="x" * 65)])],
        "INVALID_FIELD",
        "config.channels[0].participant_id",
        "65 bytes",
    ),
    "bad session id": ([config(session_id="a b")], "INVALID_FIELD", "config.session_id", "3 characters"),
    "unknown model": ([config(model="whisper")], "UNKNOWN_MODEL", "config.model", "whisper"),
    "too many labels": (
        [config(labels={str(n): "" for n in range(17)})],
        "INVALID_FIELD",
        "config.labels",
        "17 labels",
    ),
    "long label": ([config(labels={"k": "v" * 65})], "INVALID_FIELD", "config.labels[k]", "65 bytes"),
    "hang-over too short": (
        [endpointing(hangover_ms=31)],
        "INVALID_FIELD",
        "config.endpointing.hangover_ms",
        "31",
    ),
    "threshold not a number": (
        [endpointing(speech_threshold=float("nan"))],
        "INVALID_FIELD",
        "config.endpointing.speech_threshold",
        "nan",
    ),
    "threshold of one": (
        [endpointing(speech_threshold=1.0)],
        "INVALID_FIELD",
        "config.endpointing.speech_threshold",
        "1.0",
    ),
    "thresholds crossed": (
        [endpointing(speech_threshold=0.25, silence_threshold=0.75)],
        "INVALID_FIELD",
        "config.endpointing.silence_threshold",
        "0.75",
    ),
    "unknown mode": (
        [endpointing(mode=99)],
        "INVALID_FIELD",
        "config.endpointing.mode",
        "99",
    ),
    "provisional too often": (
        [config(outputs=pb.OutputConfig(provisional_interval_ms=249))],
        "INVALID_FIELD",
        "config.outputs.provisional_interval_ms",
        "249",
    ),
    "turn without id": (
        [config(), control(turn_started=pb.TurnStarted())],
        "INVALID_FIELD",
        "control.turn_started.turn_id",
        "empty",
    ),
    "progress too often": (
        [config(outputs=pb.OutputConfig(progress_interval_ms=99))],
        "INVALID_FIELD",
        "config.outputs.progress_interval_ms",
        "99",
    ),
    "long control id": (
        [config(), control(control_id="c" * 65, end_of_audio=pb.EndOfAudio())],
        "INVALID_FIELD",
        "control.control_id",
        "65 bytes",
    ),
    "odd bytes": ([config(), audio(b"\0" * 641)], "PARTIAL_FRAME", "audio.data", "641 bytes"),
    "half a stereo frame": (
        [config(channel_count=2, channels=[channel(analyze=True)]), audio(b"\0" * 642)],
        "PARTIAL_FRAME",
        "audio.data",
        "642 bytes",
    ),
    "part of a float": (
        [config(pb.AUDIO_ENCODING_FLOAT32), audio(b"\0" * 642)],
        "PARTIAL_FRAME",
        "audio.data",
        "642 bytes",
    ),
    "more than a second": (
        [config(rate_hz=8_000), audio(bytes(16_002))],
        "CHUNK_TOO_LONG",
        "audio.data",
        "1000 ms",
    ),
}


@pytest.mark.fault("messages out of order", "wrong audio")
@pytest.mark.parametrize("case", BROKEN)
async def test_broken_request_is_refused_by_field_value_and_limit(server_address: str, case: str) -> None:
    requests, reason, field, value = BROKEN[case]
    error = await refusal(server_address, requests)
    info = error_info(error)
    assert (error.code(), info.reason) == (INVALID, reason)
    assert (info.metadata["field"], info.metadata["value"]) == (field, value)
    assert info.metadata["limit"]
    assert field in (error.details() or "")
    assert info.metadata["limit"] in (error.details() or "")
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in details_of(error))
    assert violations.field_violations[0].field == field


@pytest.mark.fault("wrong audio")
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
async def test_float_that_is_no_number_is_refused_with_its_place(server_address: str, bad: float) -> None:
    samples = tone(0.02)
    samples[17] = bad
    error = await refusal(
        server_address,
        [config(pb.AUDIO_ENCODING_FLOAT32), audio(tone(0.02).tobytes()), audio(samples.tobytes())],
    )
    info = error_info(error)
    assert (error.code(), info.reason) == (INVALID, "NOT_FINITE")
    assert info.metadata["value"] == f"{np.float32(bad)} at sample 17"


@pytest.mark.fault("wrong audio")
async def test_huge_floats_are_clipped_not_refused(server_address: str) -> None:
    loud = np.full(320, 1e30, np.float32)
    events = await converse(server_address, [config(pb.AUDIO_ENCODING_FLOAT32), audio(loud.tobytes()), END])
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


@pytest.mark.fault("message over the limit")
async def test_message_over_the_limit_is_refused_at_once(server_address: str) -> None:
    error = await refusal(server_address, [config(), audio(bytes(65_536))])
    info = error_info(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert info.metadata["limit"] == "65536 bytes"


@pytest.mark.fault("garbage")
async def test_bytes_that_are_no_message_leak_no_parser_text(server_address: str) -> None:
    async with grpc.aio.insecure_channel(server_address) as raw:
        method: Any = raw.stream_stream("/affectstream.v1.AffectService/StreamAffect")
        call = method(iter([b"\xff\xff\xff\xff"]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
    assert caught.value.code() == INVALID
    assert error_info(caught.value).reason == "MALFORMED_MESSAGE"
    assert "protobuf message" in (caught.value.details() or "")


UNSERVED_REQUESTS = {
    "transcript": [config(), control(transcript=pb.Transcript(text="hello"))],
}


@pytest.mark.parametrize("case", UNSERVED_REQUESTS)
async def test_what_is_not_served_is_refused_and_never_ignored(server_address: str, case: str) -> None:
    error = await refusal(server_address, UNSERVED_REQUESTS[case])
    assert error.code() == UNSERVED
    assert error_info(error).reason == "NOT_SERVED"
    assert error_info(error).metadata["limit"], "says what to do instead"


@pytest.mark.parametrize("role", [pb.SUBJECT_ROLE_EMPLOYEE, pb.SUBJECT_ROLE_STUDENT])
async def test_roles_that_the_law_protects_are_not_analysed(
    server_address: str, role: pb.SubjectRole.ValueType
) -> None:
    error = await refusal(server_address, [config(channels=[channel(analyze=True, subject_role=role)])])
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert error_info(error).reason == "ROLE_REFUSED"


async def test_server_can_require_a_consent_basis() -> None:
    async with running_server({"consent": {"required": True}}) as server:
        error = await refusal(server.address, [config(), END])
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert error_info(error).reason == "CONSENT_REQUIRED"
        granted = [config(consent_basis=pb.CONSENT_BASIS_CONSENT), END]
        assert (await converse(server.address, granted))[-1].HasField("session_closed")


@pytest.mark.fault("wrong audio")
async def test_empty_chunks_are_ignored_and_counted(server_address: str) -> None:
    events = await converse(
        server_address, [config(), audio(b""), audio(SILENCE), audio(b""), audio(b""), END]
    )
    assert of_kind(events, "session_summary")[0].empty_chunks == 3
    assert of_kind(events, "progress")[-1].received_until_samples == 320


@pytest.mark.fault("messages out of order")
async def test_a_broken_stream_harms_no_other(server_address: str) -> None:
    talk = sample_talk()
    alone = finals(await stream_talk(server_address, talk))
    assert len(alone) >= 6

    async def vandalise(stop: asyncio.Event) -> int:
        done = 0
        while not stop.is_set():
            for requests, *_ in BROKEN.values():
                await refusal(server_address, requests)
                done += 1
        return done

    stop = asyncio.Event()
    vandal = asyncio.create_task(vandalise(stop))
    beside = finals(await stream_talk(server_address, talk))
    stop.set()
    assert await vandal >= len(BROKEN)
    assert [f.audio_start for f in beside] == [f.audio_start for f in alone]
    assert [[e.probability for e in f.emotions] for f in beside] == [
        [e.probability for e in f.emotions] for f in alone
    ]


async def test_work_in_hand_is_finished_before_a_refusal(server_address: str) -> None:
    talk = sample_talk().tobytes()
    seen: list[pb.SessionEvent] = []

    async def send() -> AsyncIterator[Request]:
        yield config()
        for chunk in chunks(talk):
            yield chunk
            if any(event.HasField("speech_ended") for event in seen):
                break
            await asyncio.sleep(0.001)
        yield audio(b"odd")

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exchange(server_address, send(), seen)
    assert caught.value.code() == INVALID
    assert len(finals(seen)) == len(of_kind(seen, "speech_ended")) >= 1
    assert seen[-1].session_closed.reason == pb.CLOSE_REASON_ERROR
