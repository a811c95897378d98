"""What reaches the server of many small sends: fewer messages, and the same audio at the same places."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from affectstream import AffectClient, AudioEncoding, AudioFormat, StreamConfig
from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.wire.client.helpers import STARTED, Call, Handler, Requests, odd_server

TALK = sample_talk()[: 16 * 4_200]
Arrived = list[tuple[float, pb.StreamAffectRequest]]


def recorder(arrived: Arrived, *, until: asyncio.Event | None = None) -> Handler:
    """A server that keeps what comes and when; it reads on once `until` is set."""

    async def record(requests: Requests, call: Call) -> None:
        async for request in requests:
            if request.HasField("config"):
                await call.write(STARTED)
                if until is not None:
                    await until.wait()
            else:
                arrived.append((time.monotonic(), request))

    return record


def sizes_ms(arrived: Arrived, frame_bytes: int = 32) -> list[float]:
    """Audio in each message, in ms where `frame_bytes` are 1 ms of it."""
    return [len(request.audio.data) / frame_bytes for _, request in arrived if request.HasField("audio")]


def audio(arrived: Arrived) -> bytes:
    return b"".join(request.audio.data for _, request in arrived)


async def sent(config: StreamConfig, frame_ms: int, seconds: float = 1.28) -> Arrived:
    """What came of frames that are sent as fast as they are taken."""
    arrived: Arrived = []
    rate_hz = config.audio.sample_rate_hz
    async with (
        odd_server(recorder(arrived)) as address,
        AffectClient(address) as client,
        client.stream(config) as stream,
    ):
        for _ in range(int(seconds * 1_000) // frame_ms):
            await stream.send(bytes(2 * rate_hz * frame_ms // 1_000))
        await stream.end()
        assert [event async for event in stream] == [stream.started]
    assert arrived.pop()[1].control.HasField("end_of_audio")
    assert len(audio(arrived)) == 2 * rate_hz * seconds
    return arrived


@pytest.mark.parametrize("frame_ms", [5, 10, 20])
async def test_by_default_a_message_goes_when_it_completes_a_block_of_32_ms(frame_ms: int) -> None:
    arrived = await sent(StreamConfig(), frame_ms)
    assert len(arrived) == 40, "one for each block of 1.28 s"
    end_ms, blocks = 0.0, 0
    for size_ms in sizes_ms(arrived):
        end_ms += size_ms
        assert end_ms // 32 > blocks, "none that completes no block"
        assert end_ms - (blocks + 1) * 32 < frame_ms, "and none later than the frame that completes it"
        blocks = int(end_ms // 32)


@pytest.mark.parametrize(("rate_hz", "frame_ms", "message_ms"), [(48_000, 10, 20), (8_000, 20, 20)])
async def test_other_rates_are_gathered_to_20_ms(rate_hz: int, frame_ms: int, message_ms: int) -> None:
    arrived = await sent(StreamConfig(audio=AudioFormat(sample_rate_hz=rate_hz)), frame_ms)
    assert sizes_ms(arrived, rate_hz // 500) == [message_ms] * (1_280 // message_ms)


@pytest.mark.parametrize(("coalesce_ms", "message_ms"), [(0, 10), (5, 10), (40, 40), (100, 100)])
async def test_it_can_be_chosen_and_turned_off(coalesce_ms: int, message_ms: int) -> None:
    arrived = await sent(StreamConfig(coalesce_ms=coalesce_ms), 10, 1.2)
    assert sizes_ms(arrived) == [message_ms] * (1_200 // message_ms)


@pytest.mark.parametrize("coalesce_ms", [-1, 1_001])
def test_more_than_a_message_takes_is_refused(coalesce_ms: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1000"):
        StreamConfig(coalesce_ms=coalesce_ms)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)


async def test_what_was_gathered_goes_although_no_more_comes() -> None:
    arrived: Arrived = []
    async with (
        odd_server(recorder(arrived)) as address,
        AffectClient(address) as client,
        client.stream() as stream,
    ):
        await stream.send(bytes(320))
        await eventually(lambda: len(arrived) == 1)
        await stream.send(bytes(320))
        await eventually(lambda: len(arrived) == 2)
    assert sizes_ms(arrived) == [10, 10]


async def test_controls_and_the_end_come_after_the_audio_before_them() -> None:
    arrived: Arrived = []
    async with (
        odd_server(recorder(arrived)) as address,
        AffectClient(address) as client,
        client.stream() as stream,
    ):
        for number in range(1, 6):
            await stream.send(np.full(160, number, np.int16))
            await stream.turn_started(f"t{number}")
        await stream.send(np.full(160, 6, np.int16))
        await stream.end()
        assert [event async for event in stream] == [stream.started]
    kinds = [
        request.control.turn_started.turn_id or request.control.WhichOneof("control")
        if request.HasField("control")
        else np.frombuffer(request.audio.data, "<i2").tolist()
        for _, request in arrived
    ]
    expected: list[Any] = []
    for number in range(1, 6):
        expected += [[number] * 160, f"t{number}"]
    assert kinds == [*expected, [6] * 160, "end_of_audio"]


async def test_tasks_at_once_keep_the_order_of_their_calls() -> None:
    arrived: Arrived = []
    async with (
        odd_server(recorder(arrived)) as address,
        AffectClient(address) as client,
        client.stream() as stream,
    ):
        await asyncio.gather(
            *(stream.send(np.full(400, number, np.int16)) for number in range(20)),
            stream.flush(),
            *(stream.send(np.full(400, number, np.int16)) for number in range(20, 40)),
        )
        await stream.end()
        assert [event async for event in stream] == [stream.started]
    heard = np.frombuffer(audio(arrived), "<i2")
    assert heard.tolist() == np.repeat(np.arange(40), 400).tolist()
    before = next(i for i, (_, request) in enumerate(arrived) if request.HasField("control"))
    assert len(audio(arrived[:before])) == 2 * 400 * 20


async def test_a_cancelled_send_loses_and_doubles_nothing() -> None:
    arrived: Arrived = []
    reads = asyncio.Event()
    cancelled = 0
    samples = np.arange(16_000 * 600) % 32_767
    frames = np.split(samples.astype(np.int16), 300)
    async with (
        odd_server(recorder(arrived, until=reads)) as address,
        AffectClient(address) as client,
        client.stream() as stream,
    ):
        for frame in frames[:200]:  # more than a server that does not read lets through
            with suppress(TimeoutError):
                async with asyncio.timeout(0.005):
                    await stream.send(frame)
                    continue
            cancelled += 1
        assert cancelled > 10
        reads.set()
        for frame in frames[200:]:
            await stream.send(frame)
        await stream.end()
        assert [event async for event in stream] == [stream.started]
    assert audio(arrived) == samples.astype("<i2").tobytes()


async def test_a_cancelled_iteration_step_loses_no_event(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        heard = [await anext(stream)]
        sending = asyncio.create_task(_play(stream))
        while True:
            try:
                async with asyncio.timeout(0.002):
                    heard.append(await anext(stream))
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
        await sending
    assert [event.sequence for event in heard] == list(range(1, len(heard) + 1))
    assert heard[-1].proto.session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


async def _play(stream: Any) -> None:
    for start in range(0, len(TALK), 320):
        await stream.send(TALK[start : start + 320])
        await asyncio.sleep(0.001)
    await stream.end()


async def test_numbered_audio_is_never_joined_to_what_it_does_not_follow() -> None:
    arrived: Arrived = []
    async with (
        odd_server(recorder(arrived)) as address,
        AffectClient(address) as client,
        client.stream() as stream,
    ):
        await stream.send(bytes(320))
        await stream.send(bytes(320), start_samples=160)  # it follows
        await stream.send(bytes(320), start_samples=800)
        await stream.send(bytes(80_000), start_samples=0)
        await stream.end()
        assert [event async for event in stream] == [stream.started]
    pieces = [
        (request.audio.start_samples if request.audio.HasField("start_samples") else None, size)
        for (_, request), size in zip(arrived, sizes_ms(arrived), strict=False)
    ]
    assert pieces == [(None, 20), (800, 10), (0, 1_000), (16_000, 1_000), (32_000, 500)]


async def test_compressed_packets_go_one_by_one() -> None:
    arrived: Arrived = []
    config = StreamConfig(audio=AudioFormat(encoding=AudioEncoding.OPUS_PACKETS, sample_rate_hz=48_000))
    async with (
        odd_server(recorder(arrived)) as address,
        AffectClient(address) as client,
        client.stream(config) as stream,
    ):
        for size in (3, 40, 7):
            await stream.send(bytes(size))
        await stream.end()
        assert [event async for event in stream] == [stream.started]
    assert [len(request.audio.data) for _, request in arrived[:-1]] == [3, 40, 7]
