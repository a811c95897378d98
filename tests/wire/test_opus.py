"""Opus on a stream: the talk's utterances are found, and damage is told while the stream goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.opus import ogg_opus, packets, pages, parsed
from tests.support.speech import sample_talk
from tests.support.wire import (
    END,
    Request,
    audio,
    config,
    converse,
    error_info,
    finals,
    of_kind,
    refusal,
    seconds,
    stream_talk,
)

TALK = sample_talk()
# A pause inside a sentence may be just long enough for one codec and not for the other.
PATIENT = pb.EndpointingConfig(hangover_policy=pb.HANGOVER_POLICY_FIXED, hangover_ms=512)


async def play(address: str, data: Iterable[bytes], setup: Request | None = None) -> list[pb.SessionEvent]:
    setup = setup or config(pb.AUDIO_ENCODING_OGG_OPUS, 48_000)
    return await converse(address, [setup, *map(audio, data), END])


def bounds(events: list[pb.SessionEvent]) -> list[tuple[float, float]]:
    return [(seconds(final.audio_start), seconds(final.audio_end)) for final in finals(events)]


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
async def test_ogg_finds_the_utterances_where_pcm_does(server_address: str, rate_hz: int) -> None:
    plain = bounds(await stream_talk(server_address, TALK, endpointing=PATIENT))
    events = await play(
        server_address,
        pages(ogg_opus(TALK)),
        config(pb.AUDIO_ENCODING_OGG_OPUS, rate_hz, endpointing=PATIENT),
    )
    assert len(bounds(events)) == len(plain)
    for got, expected in zip(bounds(events), plain, strict=True):
        assert got == pytest.approx(expected, abs=0.1)
    assert events[0].session_started.audio.encoding == pb.AUDIO_ENCODING_OGG_OPUS
    assert events[0].session_started.audio.sample_rate_hz == rate_hz
    assert of_kind(events, "progress")[-1].received_until_samples == len(TALK) * rate_hz // 16_000
    assert not of_kind(events, "warning")


async def test_packets_find_the_utterances_too(server_address: str) -> None:
    plain = bounds(await stream_talk(server_address, TALK, endpointing=PATIENT))
    made = packets(TALK)
    setup = config(pb.AUDIO_ENCODING_OPUS_PACKETS, 48_000, endpointing=PATIENT)
    events = await play(server_address, made, setup)
    for got, expected in zip(bounds(events), plain, strict=True):
        assert got == pytest.approx(expected, abs=0.1)
    assert of_kind(events, "progress")[-1].received_until_samples == 960 * len(made)


async def test_two_channels_of_one_stream_have_their_own_events(server_address: str) -> None:
    half = TALK[: 12 * 16_000]
    stereo = np.stack([half, np.zeros_like(half)], axis=1)
    both = [pb.ChannelConfig(index=index, analyze=True) for index in (0, 1)]
    setup = config(pb.AUDIO_ENCODING_OGG_OPUS, 48_000, 2, channels=both)
    events = await play(server_address, pages(ogg_opus(stereo)), setup)
    heard = {event.channel for event in events if event.HasField("affect")}
    assert heard == {0}


async def test_packets_that_are_lost_become_gaps_by_their_positions(server_address: str) -> None:
    made = packets(TALK[: 16_000 * 6])
    setup = config(pb.AUDIO_ENCODING_OPUS_PACKETS, 48_000)
    numbered = [
        Request(audio=pb.AudioChunk(data=packet, start_samples=960 * place))
        for place, packet in enumerate(made)
        if not 20 <= place < 40
    ]
    events = await converse(server_address, [setup, *numbered, END])
    (gap,) = of_kind(events, "gap")
    assert (seconds(gap.audio_start), seconds(gap.audio_end)) == (0.4, 0.8)
    assert of_kind(events, "progress")[-1].received_until_samples == 960 * len(made)


async def test_a_damaged_packet_is_a_warning_with_its_position(server_address: str) -> None:
    made = packets(TALK)
    at = 200
    damaged = [*made[:at], b"\xff\xff\xff", *made[at + 1 :]]
    setup = config(pb.AUDIO_ENCODING_OPUS_PACKETS, 48_000)
    whole = bounds(await play(server_address, made, setup))
    events = await play(server_address, damaged, setup)
    (warning,) = of_kind(events, "warning")
    assert (warning.code, warning.field, warning.value) == (
        "AUDIO_CORRUPT",
        "audio.data",
        f"sample {960 * at}",
    )
    assert [pytest.approx(b, abs=0.1) for b in whole] == bounds(events)
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


async def test_a_damaged_page_is_a_warning_and_time_does_not_shift(server_address: str) -> None:
    whole = pages(ogg_opus(TALK))
    torn = bytearray(whole[8])
    torn[-1] ^= 0x01
    events = await play(server_address, [*whole[:8], bytes(torn), *whole[9:]])
    (warning,) = of_kind(events, "warning")
    assert warning.value == f"sample {parsed(whole[7]).granule - 312}"
    assert of_kind(events, "progress")[-1].received_until_samples == 3 * len(TALK)
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


async def test_pages_that_never_came_become_a_gap(server_address: str) -> None:
    whole = pages(ogg_opus(TALK))
    events = await play(server_address, [*whole[:8], *whole[11:]])
    (gap,) = of_kind(events, "gap")
    assert seconds(gap.audio_end) - seconds(gap.audio_start) == pytest.approx(3.0)
    assert of_kind(events, "progress")[-1].received_until_samples == 3 * len(TALK)


async def test_without_its_extra_a_stream_is_refused_by_its_name(
    server_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    error = await refusal(server_address, [config(pb.AUDIO_ENCODING_OPUS_PACKETS, 48_000)])
    assert error_info(error).reason == "NOT_SERVED"
    assert "extra opus" in error_info(error).metadata["limit"]
