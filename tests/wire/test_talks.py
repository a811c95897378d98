"""The main job on real speech: every utterance found, one final for each, in order, whatever the format."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import Talk, talks
from tests.support.wire import (
    END,
    chunks,
    config,
    converse,
    finals,
    of_kind,
    seconds,
    stream_talk,
)

pytestmark = pytest.mark.timeout(120)


def overlap_s(final: pb.AffectEvent, bounds: tuple[float, float]) -> float:
    return min(seconds(final.audio_end), bounds[1]) - max(seconds(final.audio_start), bounds[0])


async def test_every_utterance_of_six_talks_is_found_and_answered_once(
    server_address: str, speech: Path
) -> None:
    found = 0
    for talk in talks(speech):
        events = await stream_talk(server_address, talk.samples)
        answered = finals(events)
        declared = [ended.utterance_id for ended in of_kind(events, "speech_ended")]
        assert [final.utterance_id for final in answered] == declared, "one final each, in order"
        assert len(set(declared)) == len(declared)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert {event.session_id for event in events} == {events[0].session_id}
        for final, after in pairwise(answered):
            assert seconds(final.audio_end) <= seconds(after.audio_start)
        for final in answered:
            if final.emotions:
                assert sum(e.probability for e in final.emotions) == pytest.approx(1, abs=1e-5)
                assert final.top_label == max(final.emotions, key=lambda e: e.probability).label
                assert 0 <= final.dimensions.arousal <= 1
                assert not final.dimensions.HasField("valence"), "absent, not zero"
        found += sum(any(overlap_s(final, truth) >= 0.1 for final in answered) for truth in talk.truth)
    assert found == 84


def as_stereo_float_44k(samples: NDArray[np.int16]) -> bytes:
    left = soxr.resample(samples.astype(np.float32) / 32_768, 16_000, 44_100)
    stereo: NDArray[np.float32] = np.stack([np.zeros_like(left), left], axis=1).astype("<f4")
    return stereo.tobytes()


async def test_stereo_float_at_44100_hz_agrees_within_50_ms(server_address: str, speech: Path) -> None:
    talk = talks(speech)[0]
    plain = finals(await stream_talk(server_address, talk.samples))
    setup = config(
        pb.AUDIO_ENCODING_FLOAT32,
        44_100,
        2,
        channels=[pb.ChannelConfig(index=0), pb.ChannelConfig(index=1, analyze=True)],
    )
    events = await converse(server_address, [setup, *chunks(as_stereo_float_44k(talk.samples), 882 * 8), END])
    other = finals(events)
    assert len(other) == len(plain)
    for a, b in zip(plain, other, strict=True):
        assert seconds(a.audio_start) == pytest.approx(seconds(b.audio_start), abs=0.05)
        assert seconds(a.audio_end) == pytest.approx(seconds(b.audio_end), abs=0.05)
    assert {event.channel for event in events if event.HasField("affect")} == {1}


def as_mulaw_8k(samples: NDArray[np.int16]) -> bytes:
    """G.711 by its definition: the code whose value is nearest is found by bias, exponent, mantissa."""
    x = soxr.resample(samples.astype(np.float32), 16_000, 8_000)
    sign = np.where(x < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(x).astype(np.int32), 32_635) + 0x84
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0xF
    code: NDArray[np.uint8] = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return code.tobytes()


async def test_telephone_mulaw_finds_as_many_on_the_clean_talks(server_address: str, speech: Path) -> None:
    for talk in (t for t in talks(speech) if "clean" in t.name):
        plain = finals(await stream_talk(server_address, talk.samples))
        setup = config(pb.AUDIO_ENCODING_MULAW, 8_000)
        phone = finals(await converse(server_address, [setup, *chunks(as_mulaw_8k(talk.samples), 160), END]))
        assert abs(len(phone) - len(plain)) <= 1, talk.name


@pytest.mark.parametrize("chunk_bytes", [2, 642, 32_000])
async def test_the_size_of_chunks_changes_nothing(
    server_address: str, speech: Path, chunk_bytes: int
) -> None:
    samples: Talk = talks(speech)[1]
    part = samples.samples[: 16_000 * (2 if chunk_bytes == 2 else 12)]
    usual = finals(await stream_talk(server_address, part))
    events = await converse(server_address, [config(), *chunks(part.tobytes(), chunk_bytes), END])
    assert [(f.audio_start, f.audio_end, f.top_label) for f in finals(events)] == [
        (f.audio_start, f.audio_end, f.top_label) for f in usual
    ]
