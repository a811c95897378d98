"""What a tenant may take, over the wire: what is refused, what waits, what is said. Nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.wire import (
    END,
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
    stub,
)

TALK = sample_talk()[: 16_000 * 16]
LINEAR16 = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000, channel_count=1)


def retry_s(error: grpc.aio.AioRpcError) -> float:
    """When the error says to come again; fails if it does not say."""
    info = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(info) for detail in details_of(error))
    return float(info.retry_delay.ToTimedelta().total_seconds())


def limits(message: pb.Limits) -> dict[str, int]:
    return {limit.name: limit.value for limit in message.limits}


async def analyze(address: str, samples: int = 16_000) -> pb.AffectEvent:
    data = TALK[16_000 : 16_000 + samples].astype("<i2").tobytes()
    async with stub(address) as service:
        response = await service.AnalyzeUtterance(pb.AnalyzeUtteranceRequest(audio=LINEAR16, data=data))
    return response.event


@pytest.mark.fault("limits reached")
async def test_a_stream_too_many_is_refused_and_the_others_go_on() -> None:
    refused = asyncio.Event()

    async def send() -> AsyncIterator[pb.StreamAffectRequest]:
        yield config()
        await refused.wait()
        for request in (*chunks(TALK.tobytes()), END):
            yield request

    async with running_server({"quotas": {"streams": 1}}) as server:
        events: list[pb.SessionEvent] = []
        first = asyncio.create_task(exchange(server.address, send(), events))
        while not events:
            await asyncio.sleep(0.01)
        error = await refusal(server.address, [config()])
        refused.set()
        await first
        while server.pipeline.streams:
            await asyncio.sleep(0.01)
        assert await converse(server.address, [config(), END]), "there is room again"
    assert (error.code(), error_info(error).reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TENANT_STREAMS",
    )
    assert dict(error_info(error).metadata) == {"field": "streams", "value": "1", "limit": "1"}
    assert retry_s(error) == 1.0
    assert len(finals(events)) == len(of_kind(events, "speech_ended")) > 0


@pytest.mark.fault("limits reached")
async def test_audio_above_the_rate_waits_and_says_what_it_would_have_said() -> None:
    talk = TALK[: 16_000 * 5]
    async with running_server() as server:
        free = await stream_talk(server.address, talk)
    async with running_server({"quotas": {"audio_rate": 1}}) as server:  # slower than any machine hears
        began = time.monotonic()
        held = await stream_talk(server.address, talk)
        took_s = time.monotonic() - began
    assert took_s >= (5 - 2 * 1) / 1 - 0.2, "but for the burst, at its rate"
    assert finals(held)
    assert [(f.audio_start, f.status, f.top_label) for f in finals(held)] == [
        (f.audio_start, f.status, f.top_label) for f in finals(free)
    ]
    (warning,) = of_kind(held, "warning")
    assert (warning.code, warning.limit) == ("QUOTA_AUDIO_RATE", "1 seconds of audio a second")


async def test_two_channels_are_twice_the_audio() -> None:
    stereo = np.repeat(TALK[: 16_000 * 7], 2).astype("<i2").tobytes()
    both = [pb.ChannelConfig(index=n, analyze=True) for n in range(2)]
    async with running_server({"quotas": {"audio_rate": 5}}) as server:
        began = time.monotonic()
        await converse(server.address, [config(channel_count=2, channels=both), *chunks(stereo, 1_280), END])
        assert time.monotonic() - began >= (14 - 2 * 5) / 5 - 0.2


@pytest.mark.fault("limits reached")
async def test_an_utterance_above_the_quota_gets_its_final_and_the_stream_goes_on() -> None:
    async with running_server({"quotas": {"utterances_per_minute": 2}}) as server:
        events = await stream_talk(server.address, TALK)
        again = await stream_talk(server.address, TALK)
    statuses = [final.status for final in finals(events)]
    assert len(statuses) == len(of_kind(events, "speech_ended")) >= 4
    assert statuses[2:] == [pb.AFFECT_STATUS_OVERLOADED] * (len(statuses) - 2)
    assert pb.AFFECT_STATUS_OVERLOADED not in statuses[:2]
    assert "2 utterances were scored in the last minute" in finals(events)[2].status_detail
    (warning,) = of_kind(events, "warning")
    assert (warning.code, warning.field) == ("QUOTA_UTTERANCES", "utterances")
    assert (warning.value, warning.limit) == ("2 in the last minute", "2 a minute")
    assert {final.status for final in finals(again)} == {pb.AFFECT_STATUS_OVERLOADED}
    assert of_kind(events, "session_closed")[0].reason == pb.CLOSE_REASON_END_OF_AUDIO


@pytest.mark.fault("limits reached")
@pytest.mark.parametrize(
    ("quotas", "reason", "least_s"),
    [
        ({"utterances_per_minute": 1}, "TENANT_UTTERANCES", 50.0),
        ({"audio_rate": 0.5}, "TENANT_AUDIO_RATE", 0.5),
    ],
)
async def test_an_analysis_above_the_quota_is_told_when_to_come_again(
    quotas: dict[str, Any], reason: str, least_s: float
) -> None:
    async with running_server({"quotas": quotas}) as server:
        assert (await analyze(server.address)).emotions
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await analyze(server.address)
    assert (caught.value.code(), error_info(caught.value).reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason,
    )
    assert retry_s(caught.value) >= least_s


async def test_callers_are_told_their_own_quotas() -> None:
    quotas = {"streams": 7, "audio_rate": 2.5, "utterances_per_minute": 30}
    async with running_server({"quotas": quotas}) as server, stub(server.address) as service:
        info = limits((await service.GetServerInfo(pb.GetServerInfoRequest())).limits)
        (started,) = of_kind(await converse(server.address, [config(), END]), "session_started")
    assert info == limits(started.limits)
    assert (info["tenant_streams"], info["tenant_audio_rate"], info["tenant_utterances_per_minute"]) == (
        *(7, 2_500),
        30,
    )
    assert "tenant_analyses" not in info, "it has none of its own"
