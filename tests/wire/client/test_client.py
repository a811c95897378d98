"""The client against a real server: what a program that uses it sees."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import numpy as np
import pytest

from affectstream import (
    AffectClient,
    AffectEvent,
    AffectStream,
    AudioEncoding,
    AudioFormat,
    Channel,
    CloseReason,
    Endpointing,
    Event,
    Feature,
    InvalidRequest,
    Outputs,
    SessionClosed,
    SessionStarted,
    SpeechEnded,
    SpeechStarted,
    StreamConfig,
    SubjectRole,
    Timeouts,
    errors,
)
from tests.support.speech import sample_talk
from tests.support.wire import finals, running_server, stream_talk

TALK = sample_talk()
SHORT = TALK[: 16 * 7_200]
"""The first two utterances."""


async def heard(stream: AffectStream, pcm: object, frame_samples: int = 320) -> list[Event]:
    """Every event of a stream to which all of `pcm` is sent, in frames."""

    async def send() -> None:
        assert isinstance(pcm, np.ndarray)
        for start in range(0, len(pcm), frame_samples):
            await stream.send(pcm[start : start + frame_samples])
        await stream.end()

    sending = asyncio.create_task(send())
    events = [event async for event in stream]
    await sending
    return events


def final_events(events: list[Event]) -> list[AffectEvent]:
    return [event for event in events if isinstance(event, AffectEvent) and event.is_final]


async def test_server_info_is_typed(server_address: str) -> None:
    async with AffectClient(server_address) as client:
        info = await client.server_info()
    assert info.models[0].labels == ("neutral", "happy", "sad", "angry")
    assert info.models[0].dimensions == ("arousal",)
    assert AudioEncoding.LINEAR16 in info.encodings
    assert {Feature.STREAM, Feature.WATCH} <= info.features
    assert {limit.name for limit in info.limits} >= {"message_bytes", "chunk_ms"}
    assert info.default_endpointing.hangover_ms
    assert SubjectRole.EMPLOYEE in info.refused_roles


async def test_a_conversation_gives_typed_events_in_order(server_address: str) -> None:
    config = StreamConfig(session_id="call-7", labels={"queue": "a"})
    async with AffectClient(server_address) as client, client.stream(config) as stream:
        assert stream.session_id == "call-7"
        assert stream.started.labels == {"queue": "a"}
        events = await heard(stream, SHORT)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[0], SessionStarted)
    assert isinstance(events[-1], SessionClosed)
    assert events[-1].reason is CloseReason.END_OF_AUDIO
    begun = [event.utterance_id for event in events if isinstance(event, SpeechStarted)]
    ended = [event for event in events if isinstance(event, SpeechEnded)]
    said = final_events(events)
    assert begun == [event.utterance_id for event in ended] == [event.utterance_id for event in said]
    assert len(said) == 2
    for final in said:
        assert sum(score.probability for score in final.emotions) == pytest.approx(1, abs=1e-5)
        assert 0 <= (final.dimensions.arousal or -1) <= 1
        assert final.dimensions.valence is None, "this model does not give it"
        assert final.timing is not None
        assert final.timing.hangover_ms


async def test_it_hears_what_a_raw_call_hears(server_address: str) -> None:
    raw = finals(await stream_talk(server_address, TALK))
    async with AffectClient(server_address) as client, client.stream() as stream:
        mine = final_events(await heard(stream, TALK, frame_samples=1_600))
    assert len(mine) >= 10
    assert [event.audio_start.ns for event in mine] == [event.audio_start.ToNanoseconds() for event in raw]
    assert [event.top_label for event in mine] == [event.top_label for event in raw]


async def test_one_long_send_is_as_good_as_many(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        events = await heard(stream, SHORT, frame_samples=len(SHORT))
    assert len(final_events(events)) == 2


async def test_a_stereo_float_array_with_a_chosen_channel(server_address: str) -> None:
    floats = SHORT.astype(np.float32) / 32_768
    stereo = np.stack([np.zeros_like(floats), floats], axis=1)
    config = StreamConfig(
        audio=AudioFormat(encoding=AudioEncoding.FLOAT32, channel_count=2),
        channels=(Channel(index=0, analyze=False), Channel(index=1, participant_id="caller")),
    )
    async with AffectClient(server_address) as client, client.stream(config) as stream:
        events = await heard(stream, stereo)
    assert [event.channel for event in final_events(events)] == [1, 1]


async def test_sends_from_several_tasks_are_each_whole(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        second = np.zeros(16_000, np.int16)
        await asyncio.gather(*(stream.send(second) for _ in range(8)))
        await asyncio.gather(stream.end(), stream.end())
        events = [event async for event in stream]
    assert isinstance(events[-1], SessionClosed)
    with pytest.raises(errors.StreamClosed):
        await stream.send(second)


async def test_streams_share_a_client(server_address: str) -> None:
    async def talk(client: AffectClient) -> int:
        async with client.stream() as stream:
            return len(final_events(await heard(stream, SHORT)))

    async with AffectClient(server_address) as client:
        assert await asyncio.gather(*(talk(client) for _ in range(4))) == [2] * 4


@pytest.mark.parametrize("leave", ["quietly", "by an exception"])
async def test_leaving_without_end_abandons_the_call(leave: str) -> None:
    async with running_server() as server, AffectClient(server.address) as client:
        with pytest.raises(ZeroDivisionError) if leave != "quietly" else nullcontext():
            async with client.stream() as stream:
                await stream.send(SHORT[: 16_000 * 2])
                assert server.pipeline.streams == 1
                if leave != "quietly":
                    raise ZeroDivisionError
        async with asyncio.timeout(30):
            while server.pipeline.streams:
                await asyncio.sleep(0.01)
        assert [event async for event in stream] == [stream.started], "nothing is left to read"


@pytest.mark.parametrize(
    ("config", "kind", "field", "value"),
    [
        (
            StreamConfig(audio=AudioFormat(sample_rate_hz=96_000)),
            InvalidRequest,
            "config.audio.sample_rate_hz",
            "96000",
        ),
        (StreamConfig(audio=AudioFormat(encoding=77)), InvalidRequest, "config.audio.encoding", "77"),
        (StreamConfig(audio=AudioFormat(channel_count=9)), InvalidRequest, "config.audio.channel_count", "9"),
        (StreamConfig(model="nonsuch"), InvalidRequest, "config.model", "nonsuch"),
        (StreamConfig(endpointing=Endpointing(hangover_ms=9)), InvalidRequest, "hangover_ms", "9"),
        (
            StreamConfig(outputs=Outputs(provisional_interval_ms=9)),
            InvalidRequest,
            "config.outputs.provisional_interval_ms",
            "9",
        ),
    ],
    ids=["rate", "encoding", "channels", "model", "hangover", "provisional"],
)
async def test_a_refused_stream_names_field_value_and_limit(
    server_address: str, config: StreamConfig, kind: type[errors.AffectStreamError], field: str, value: str
) -> None:
    async with AffectClient(server_address) as client:
        with pytest.raises(kind) as refused:
            async with client.stream(config):
                pytest.fail("the server took it")
        assert refused.value.field.endswith(field)
        assert value in refused.value.value
        assert refused.value.reason
        assert not refused.value.retryable
        await client.server_info()  # the connection is good for more


async def test_not_a_number_is_refused_while_streaming(server_address: str) -> None:
    config = StreamConfig(audio=AudioFormat(encoding=AudioEncoding.FLOAT32))
    broken = np.zeros(320, np.float32)
    broken[7] = np.nan
    async with AffectClient(server_address) as client:
        with pytest.raises(InvalidRequest) as refused:
            async with client.stream(config) as stream:
                await heard(stream, np.concatenate([np.zeros(3_200, np.float32), broken]))
    assert (refused.value.field, refused.value.reason) == ("audio.data", "NOT_FINITE")


async def test_half_a_sample_is_refused_here_and_the_stream_goes_on(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        with pytest.raises(InvalidRequest) as refused:
            await stream.send(b"\x00" * 33)
        assert (refused.value.value, refused.value.limit) == ("33", "a multiple of 2 bytes")
        assert len(final_events(await heard(stream, SHORT))) == 2


async def test_a_draining_server_says_so() -> None:
    async with (
        running_server() as server,
        AffectClient(server.address, timeouts=Timeouts(idle_s=5)) as client,
        client.stream() as stream,
    ):
        await stream.send(SHORT[:16_000])
        stopping = asyncio.create_task(server.drain_and_stop())
        with pytest.raises((errors.ServerUnavailable, errors.StreamClosed)):
            for _ in range(1_000):
                await stream.send(SHORT[:320])
                await asyncio.sleep(0.01)
        await stopping


async def test_a_client_and_a_stream_must_be_entered(server_address: str) -> None:
    client = AffectClient(server_address)
    with pytest.raises(RuntimeError, match="async with"):
        await client.server_info()
    async with client:
        stream = client.stream()
        with pytest.raises(RuntimeError, match="async with"):
            await stream.send(b"")
        async with stream:
            pass
        with pytest.raises(RuntimeError, match="used once"):
            await stream.__aenter__()
