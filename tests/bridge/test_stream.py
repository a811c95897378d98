"""What a WebSocket hears is what a gRPC call hears, and a session goes on over both."""

from __future__ import annotations

import asyncio
import base64

import aiohttp
import numpy as np
from google.protobuf import json_format

from affectstream.v1 import affect_pb2 as pb
from tests.bridge.conftest import Both
from tests.support.bridge import CONFIG, END, connected
from tests.support.speech import sample_talk
from tests.support.wire import finals, of_kind, stream_talk

TALK = sample_talk()[: 16 * 9_000]
"""Nine seconds, in which three utterances end."""


def pieces(start: int = 0, end: int = len(TALK), step: int = 1_600) -> list[bytes]:
    return [TALK[i : min(i + step, end)].tobytes() for i in range(start, end, step)]


def comparable(final: pb.AffectEvent) -> pb.AffectEvent:
    """Without what differs from one session to the next."""
    copy = pb.AffectEvent()
    copy.CopyFrom(final)
    for field in ("utterance_id", "timing", "traceparent"):
        copy.ClearField(field)
    return copy


async def test_a_talk_sounds_as_it_does_over_grpc(both: Both) -> None:
    async with connected(both.bridge.address) as socket:
        await socket.send({"config": CONFIG}, *pieces(), END)
        assert await socket.to_the_end() == 1000
    over_grpc = finals(await stream_talk(both.server.address, TALK))
    over_socket = finals(socket.events)
    assert len(over_socket) >= 3
    assert [comparable(final) for final in over_socket] == [comparable(final) for final in over_grpc]
    assert [event.sequence for event in socket.events] == list(range(1, len(socket.events) + 1))
    kinds = [event.WhichOneof("event") for event in socket.events]
    assert (kinds[0], kinds[-2:]) == ("session_started", ["session_summary", "session_closed"])


async def test_json_is_as_the_page_is_told(address: str) -> None:
    async with connected(address) as socket:
        await socket.send({"config": CONFIG | {"resumable": True}}, *pieces(0, 16 * 4_000), END)
        started = await socket.event("sessionStarted")
        final = await socket.until(lambda m: m["event"].get("affect", {}).get("stage") == "STAGE_FINAL")
        await socket.to_the_end()
    assert started["audio"]["encoding"] == "AUDIO_ENCODING_LINEAR16"
    assert len(base64.b64decode(started["resumeToken"])) >= 16
    assert final["event"]["sequence"].isdecimal()
    assert final["event"]["serverTime"].endswith("Z")
    assert final["event"]["affect"]["audioStart"].endswith("s")
    assert sum(each.get("probability", 0) for each in final["event"]["affect"]["emotions"]) > 0.99


async def test_numbered_audio_and_controls_hold_where_they_say(address: str) -> None:
    async with connected(address) as socket:
        await socket.send({"config": CONFIG})
        data = base64.b64encode(TALK[:8_000].tobytes()).decode()
        await socket.send({"audio": {"data": data, "startSamples": "0"}})
        await socket.send({"audio": {"data": data, "startSamples": 16_000}})
        await socket.send({"control": {"controlId": "f", "positionSamples": "20000", "flushUtterance": {}}})
        await socket.send({"control": {"controlId": "t", "turnStarted": {"turnId": "one"}}}, END)
        assert await socket.to_the_end() == 1000
    (gap,) = of_kind(socket.events, "gap")
    assert (gap.audio_start.ToMilliseconds(), gap.audio_end.ToMilliseconds()) == (500, 1_000)
    told = {
        event.control_id for kind in ("control_done", "warning") for event in of_kind(socket.events, kind)
    }
    assert {"f", "t"} <= told


async def test_a_cut_line_costs_no_utterance(both: Both) -> None:
    half = len(TALK) // 2
    async with connected(both.bridge.address) as first:
        await first.send({"config": CONFIG | {"resumable": True}}, *pieces(0, half))
        started = await first.event("sessionStarted")
        await first.event("speechEnded")
        assert first.socket._response.connection is not None
        assert first.socket._response.connection.transport is not None
        first.socket._response.connection.transport.abort()
    resume = {
        "sessionId": first.messages[0]["event"]["sessionId"],
        "resumeToken": started["resumeToken"],
        "audioOffsetSamples": "0",
        "lastSequence": first.messages[-1]["event"]["sequence"],
    }
    async with connected(both.bridge.address) as second:
        await second.send({"config": CONFIG | {"resumable": True, "resume": resume}})
        again = await second.event("sessionStarted")
        assert (again["resumed"], again["sessionEpoch"]) == (True, 2)
        await second.send(*pieces(), END)
        assert await second.to_the_end() == 1000
    found = {event.sequence: event for socket in (first, second) for event in socket.events}
    heard = finals([found[sequence] for sequence in sorted(found)])
    whole = finals(await stream_talk(both.server.address, TALK))
    assert [(f.audio_start, f.audio_end, f.top_label) for f in heard] == [
        (f.audio_start, f.audio_end, f.top_label) for f in whole
    ]


async def test_who_hangs_up_leaves_nothing_behind(both: Both) -> None:
    async with connected(both.bridge.address) as socket:
        await socket.send({"config": CONFIG}, *pieces(0, 32_000))
        await socket.event("speechStarted")
        assert both.server.pipeline.streams == 1
    await both.no_stream()


async def test_a_sender_faster_than_the_server_waits_and_loses_nothing(address: str) -> None:
    minutes = np.zeros(16_000 * 120, np.int16)
    async with connected(address) as socket:
        await socket.send({"config": CONFIG})
        reading = asyncio.create_task(socket.to_the_end())
        for i in range(0, len(minutes), 16_000):
            await socket.send(minutes[i : i + 16_000].tobytes())
        await socket.send(END)
        assert await reading == 1000
    (summary,) = of_kind(socket.events, "session_summary")
    assert summary.audio_duration.ToMilliseconds() == 120_000


async def test_info_says_what_the_server_is(address: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/v1/info") as answer:
        info = json_format.ParseDict(await answer.json(), pb.GetServerInfoResponse())
        assert "aiohttp" not in answer.headers["Server"]
    assert pb.FEATURE_RESUME in info.features
    assert info.models[0].labels
