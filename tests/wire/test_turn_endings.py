"""A turn that ends with the audio is told, at any rate: a resampler holds the last samples back."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
import soxr

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.wire import Request, chunks, config, finals, of_kind, running_server
from tests.wire.resuming import Call, calling

TALK = sample_talk()[: 4 * 16_000]
BEGIN = Request(control=pb.Control(turn_started=pb.TurnStarted(turn_id="t")))
END = Request(control=pb.Control(turn_ended=pb.TurnEnded(turn_id="t")))
RATES = pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])


def asked(rate_hz: int) -> Request:
    return config(rate_hz=rate_hz, endpointing=pb.EndpointingConfig(stall_ms=300))


async def say(call: Call, rate_hz: int) -> None:
    """A turn to the last sample, and silence on the line after it."""
    samples = soxr.resample(TALK.astype(np.float32) / 32_768, 16_000, rate_hz)
    pcm = (samples * 32_767).astype("<i2").tobytes()
    await call.send([BEGIN, *chunks(pcm), END])


@RATES
async def test_a_turn_whose_audio_stops_with_it_is_told_at_the_stall(rate_hz: int) -> None:
    async with running_server() as server, calling(server.address, asked(rate_hz)) as call:
        await say(call, rate_hz)
        await call.until(lambda events: of_kind(events, "turn_affect"))
        (turn,) = of_kind(call.events, "turn_affect")
        assert list(turn.utterance_ids) == [final.utterance_id for final in finals(call.events)]


@RATES
async def test_a_turn_whose_audio_stops_with_it_is_told_before_the_server_goes(rate_hz: int) -> None:
    async with running_server({"endpointing": {"stall_ms": 10_000}}) as server:
        first = config(rate_hz=rate_hz)
        async with calling(server.address, first) as call:
            await say(call, rate_hz)
            await call.until(lambda events: of_kind(events, "speech_started"))
            draining = asyncio.create_task(server.pipeline.drain(1.0))
            assert await call.to_the_end() is grpc.StatusCode.UNAVAILABLE
            await draining
        assert of_kind(call.events, "turn_affect")
