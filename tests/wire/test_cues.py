"""Cues and saliency over a real stream: what is asked for comes, nothing else, and not without consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cues.catalogue import CUES
from tests.support.acted import clips, talk
from tests.support.speech import sample_talk
from tests.support.wire import (
    END,
    Request,
    chunks,
    config,
    converse,
    finals,
    of_kind,
    running_server,
    seconds,
    stream_talk,
    stub,
)

BOTH = pb.OutputConfig(cues=True, saliency=True)
Sections = dict[str, dict[str, Any]]
PATIENT: Sections = {"outputs": {"cues_wait_ms": 5_000, "saliency_wait_ms": 5_000}}
"""The machine of a test may be busy."""


@pytest.fixture(scope="module")
def spoken() -> NDArray[np.int16]:
    """Five utterances and a sixth."""
    return sample_talk()[: 22 * 16_000]


async def test_finals_carry_cues_and_spans_and_the_session_says_so(spoken: NDArray[np.int16]) -> None:
    async with running_server(PATIENT) as server:
        events = await stream_talk(server.address, spoken, outputs=BOTH)
    (started,) = of_kind(events, "session_started")
    assert (started.outputs.cues, started.outputs.saliency) == (True, True)
    scored = [final for final in finals(events) if final.top_label]
    assert len(scored) >= 6
    units = {cue.name: cue.unit for cue in CUES}
    for final in scored:
        assert "no cues" not in final.status_detail
        assert {cue.name: cue.unit for cue in final.cues}.items() <= units.items()
        assert {"pitch_median", "energy_mean"} <= {cue.name for cue in final.cues}
        assert len(final.saliency) <= 4
        assert sum(span.weight for span in final.saliency) <= 1 + 1e-6
        for span in final.saliency:
            assert seconds(final.audio_start) <= seconds(span.audio_start) < seconds(span.audio_end)
            assert seconds(span.audio_end) <= seconds(final.audio_end) + 1e-9
        occluded = pb.SALIENCY_METHOD_OCCLUSION
        assert final.saliency_method == (occluded if final.saliency else pb.SALIENCY_METHOD_UNSPECIFIED)
    assert any(final.saliency for final in scored)
    assert not any(cue.HasField("z_score") for final in scored[:4] for cue in final.cues)
    late = {cue.name: cue for cue in scored[-1].cues}
    assert late["pitch_median"].HasField("z_score")
    assert late["energy_mean"].HasField("salient_value") == late["energy_mean"].HasField("salient_z_score")


async def test_what_was_not_asked_for_is_not_there(server_address: str, spoken: NDArray[np.int16]) -> None:
    events = await stream_talk(server_address, spoken[: 4 * 16_000])
    assert finals(events)
    assert not any(final.cues or final.saliency for final in finals(events))


async def test_cues_do_not_move_the_score(spoken: NDArray[np.int16]) -> None:
    async with running_server(PATIENT) as server:
        bare = await stream_talk(server.address, spoken[: 7 * 16_000])
        explained = await stream_talk(server.address, spoken[: 7 * 16_000], outputs=BOTH)
    assert [list(final.emotions) for final in finals(bare)] == [
        list(final.emotions) for final in finals(explained)
    ]


async def test_finals_that_cannot_wait_come_without_and_say_so(spoken: NDArray[np.int16]) -> None:
    settings: Sections = {
        "outputs": {"cues_wait_ms": 0, "saliency_wait_ms": 0},
        "scoring": {"speculate": False},
    }
    async with running_server(settings) as server:
        events = await stream_talk(server.address, spoken[: 4 * 16_000], outputs=BOTH)
    (final,) = [final for final in finals(events) if final.top_label]
    assert not final.saliency
    assert "no saliency: not ready in time" in final.status_detail


async def test_a_whole_utterance_has_them_too(spoken: NDArray[np.int16]) -> None:
    audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    data = spoken[round(0.5 * 16_000) : round(3.5 * 16_000)].tobytes()
    async with running_server(PATIENT) as server, stub(server.address) as service:
        request = pb.AnalyzeUtteranceRequest(audio=audio, data=data, outputs=BOTH)
        event = (await service.AnalyzeUtterance(request, timeout=20)).event
        bare = (await service.AnalyzeUtterance(pb.AnalyzeUtteranceRequest(audio=audio, data=data))).event
        features = (await service.GetServerInfo(pb.GetServerInfoRequest())).features
    assert {cue.name for cue in event.cues} >= {"pitch_median", "energy_mean", "speaking_rate"}
    assert not any(cue.HasField("z_score") for cue in event.cues), "one utterance has no baseline"
    assert event.saliency
    assert not bare.cues
    assert {pb.FEATURE_CUES, pb.FEATURE_SALIENCY} <= set(features)


async def test_where_consent_is_withdrawn_nothing_is_measured(spoken: NDArray[np.int16]) -> None:
    data = spoken.tobytes()
    withdrawn = Request(control=pb.Control(consent_withdrawn=pb.ConsentWithdrawn()))
    half = 10 * 16_000 * 2
    async with running_server(PATIENT) as server:
        requests = [config(outputs=BOTH), *chunks(data[:half]), withdrawn, *chunks(data[half:]), END]
        events = await converse(server.address, requests)
    withheld = [one for one in finals(events) if one.status == pb.AFFECT_STATUS_CONSENT_WITHHELD]
    assert withheld
    assert not any(final.cues or final.saliency for final in withheld)


async def test_what_the_fallback_scored_the_fallback_explains() -> None:
    settings: Sections = {"triton": {"address": "127.0.0.1:9", "fallback": True}} | PATIENT
    async with running_server(settings) as server:
        events = await stream_talk(server.address, sample_talk()[: 4 * 16_000], outputs=BOTH)
    scored = [final for final in finals(events) if final.top_label]
    assert scored
    assert all(final.model.fallback and final.cues for final in scored)
    assert any(final.saliency for final in scored)


async def test_an_angry_utterance_stands_out_in_the_known_direction(speech: Path) -> None:
    calm = clips(speech, "neutral", "emodb_15")[:6]
    angry = clips(speech, "angry", "emodb_15")[:2]
    async with running_server(PATIENT) as server:
        events = await stream_talk(server.address, talk([*calm, *angry]), outputs=pb.OutputConfig(cues=True))
    loud = [final for final in finals(events) if final.top_label][-2:]
    assert len(loud) == 2
    for final in loud:
        z_scores = {cue.name: cue.z_score for cue in final.cues}
        assert z_scores["pitch_median"] > 2
        assert z_scores["spectral_tilt"] > 2
