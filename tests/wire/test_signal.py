"""What the audio cannot carry is not acted on: too much noise, too little speech; in streams and in calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
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
    running_server,
    stream_talk,
    stub,
)

Samples = NDArray[np.int16]


@pytest.fixture
def talk(speech: Path) -> Talk:
    """The first four utterances of a clean talk."""
    whole = talks(speech)[0]
    return Talk(whole.name, whole.samples[: round((whole.truth[3][1] + 1.0) * 16_000)], whole.truth[:4])


@pytest.fixture
def rain(speech: Path) -> Samples:
    """Recorded rain."""
    path = next(
        line.split("\t")[0]
        for line in (speech / "manifest.tsv").read_text(encoding="utf-8").splitlines()
        if "\tnoise-test\t" in line and "Rain" in line
    )
    samples: Samples = soundfile.read(speech / path, dtype="int16")[0]
    return samples


def mixed(talk: Talk, noise: Samples, snr_db: float) -> Samples:
    """The talk in noise, at a ratio of mean powers within its utterances."""
    wave = talk.samples.astype(np.float64)
    said = np.concatenate([wave[round(16_000 * a) : round(16_000 * b)] for a, b in talk.truth])
    laid = np.resize(noise, len(wave)).astype(np.float64)
    laid *= np.sqrt(np.mean(said**2) / np.mean(laid**2) * 10 ** (-snr_db / 10))
    loud = wave + laid
    scaled: Samples = (loud * min(1, 32_767 / np.abs(loud).max())).round().astype(np.int16)
    return scaled


async def test_speech_in_noise_is_told_as_such_and_keeps_its_values(
    server_address: str, talk: Talk, rain: Samples
) -> None:
    clean = finals(await stream_talk(server_address, talk.samples))
    noisy = finals(await stream_talk(server_address, mixed(talk, rain, 0)))
    assert {event.status for event in clean} <= {pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED}
    assert min(event.quality.snr_db for event in clean) > 15
    low = [event for event in noisy if event.status == pb.AFFECT_STATUS_LOW_SNR]
    assert len(low) >= 2
    for event in low:
        assert event.quality.snr_db < 5
        assert "above the noise" in event.status_detail
        assert len(event.emotions) == 4
        assert event.top_label
        assert event.dimensions.HasField("arousal")
        assert event.HasField("uncertainty")
        assert not event.HasField("guidance")


async def test_a_summary_counts_low_snr_and_a_turn_of_it_alone_says_so(
    server_address: str, talk: Talk, rain: Samples
) -> None:
    first, last = (round(16_000 * at) for at in talk.truth[1])
    data = mixed(talk, rain, -4)[first - 8_000 : last + 1_600]
    start, end = 8_000, 8_000 + last - first
    caller = config(endpointing=pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER))
    controls = (
        pb.Control(turn_started=pb.TurnStarted(turn_id="t"), position_samples=start),
        pb.Control(speech_started=pb.CallerSpeechStarted(), position_samples=start),
        pb.Control(speech_ended=pb.CallerSpeechEnded(), position_samples=end),
        pb.Control(turn_ended=pb.TurnEnded(turn_id="t"), position_samples=end),
    )
    told = (pb.StreamAffectRequest(control=control) for control in controls)
    events = await converse(server_address, [caller, *told, *chunks(data.tobytes()), END])
    (final,) = finals(events)
    assert final.status == pb.AFFECT_STATUS_LOW_SNR
    (turn,) = of_kind(events, "turn_affect")
    assert turn.status == pb.AFFECT_STATUS_LOW_SNR
    assert [emotion.probability for emotion in turn.emotions] == pytest.approx(
        [emotion.probability for emotion in final.emotions], abs=1e-6
    )
    (summary,) = of_kind(events, "session_summary")
    assert dict(summary.finals_by_status) == {"LOW_SNR": 1}
    assert not summary.states


async def analyze(address: str, samples: Samples) -> pb.AffectEvent:
    form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000, channel_count=1)
    asked = pb.AnalyzeUtteranceRequest(audio=form, data=samples.tobytes())
    async with stub(address) as service:
        return (await service.AnalyzeUtterance(asked, timeout=10)).event


async def test_a_call_is_judged_as_a_stream_is_and_settings_go_before_the_card(
    talk: Talk, rain: Samples
) -> None:
    start, end = (round(16_000 * at) for at in talk.truth[1])
    noisy = mixed(talk, rain, -4)[start:end]
    async with running_server() as server:
        event = await analyze(server.address, noisy)
        assert event.status == pb.AFFECT_STATUS_LOW_SNR
        assert event.quality.snr_db < 5
        assert len(event.emotions) == 4
    async with running_server({"scoring": {"min_snr_db": -20, "min_speech_ms": 0}}) as server:
        trusting = await analyze(server.address, noisy)
        assert trusting.status in (pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED)
        assert trusting.quality.snr_db == pytest.approx(event.quality.snr_db)
    async with running_server({"scoring": {"min_snr_db": 60, "min_speech_ms": 5_000}}) as server:
        assert (await analyze(server.address, talk.samples[start:end])).status == pb.AFFECT_STATUS_LOW_SNR


async def test_little_speech_abstains_with_its_values_where_it_is_enough_to_be_scored(talk: Talk) -> None:
    start, end = (round(16_000 * at) for at in talk.truth[1])
    async with running_server({"scoring": {"min_speech_ms": 900}}) as server:
        short = await analyze(server.address, talk.samples[start : start + 12_800])
        assert short.status == pb.AFFECT_STATUS_ABSTAINED
        assert "800 ms of speech, acted on from 900 ms" in short.status_detail
        assert len(short.emotions) == 4
        enough = await analyze(server.address, talk.samples[start:end])
        assert "of speech" not in enough.status_detail
