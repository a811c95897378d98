"""Outputs that users taught, behind Triton: the same answers, or a word in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.embedded import EmbeddedScorer
from tests.inference_server.conftest import Bench
from tests.support.speech import sample_talk
from tests.support.triton import serving
from tests.support.user_output import content, write
from tests.support.wire import finals, running_server, stream_talk, stub


async def test_they_say_through_triton_what_they_say_here(bench: Bench, tmp_path: Path) -> None:
    scoring = {"user_outputs": [write(tmp_path / "a.json", content(EmbeddedScorer().model))]}
    async with (
        serving(bench.triton.address, scoring=scoring) as server,
        running_server({"scoring": scoring}) as local,
    ):
        through = finals(await stream_talk(server.address, sample_talk()))
        here = finals(await stream_talk(local.address, sample_talk()))
        async with stub(server.address) as service:
            info = await service.GetServerInfo(pb.GetServerInfoRequest())
    assert [output.name for output in info.user_outputs] == ["loudness"]
    assert sum(bool(event.user_outputs) for event in through) > 4
    for one, other in zip(through, here, strict=True):
        told, expected = ([s.probability for o in e.user_outputs for s in o.scores] for e in (one, other))
        np.testing.assert_allclose(told, expected, atol=1e-4)


async def test_one_of_another_model_is_not_served_and_named_in_the_log(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = content(EmbeddedScorer().model, model={"name": "older 0.1", "sha256": "0" * 64})
    scoring = {"user_outputs": [write(tmp_path / "a.json", said)]}
    with caplog.at_level(logging.WARNING):
        async with serving(bench.triton.address, scoring=scoring) as server:
            events = finals(await stream_talk(server.address, sample_talk()[:80_000]))
            async with stub(server.address) as service:
                info = await service.GetServerInfo(pb.GetServerInfoRequest())
    assert events
    assert not any(event.user_outputs for event in events)
    assert not info.user_outputs
    assert pb.FEATURE_USER_OUTPUTS not in info.features
    assert "loudness was taught on older 0.1" in caplog.text
