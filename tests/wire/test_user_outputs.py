"""Outputs that users taught, on a real server: in events beside the model's own, and gone with consent."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from affectstream import AffectClient, AffectEvent
from affectstream.commands.info import server_text
from affectstream.enums import Feature
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.__main__ import add_arguments, run
from affectstream_server.scoring.embedded import EmbeddedScorer
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.section import SettingsError
from tests.support.speech import sample_talk
from tests.support.user_output import content, write
from tests.support.wire import END, Request, chunks, config, converse, finals, running_server, stream_talk

TALK = sample_talk()


@pytest.fixture(scope="module")
def model() -> ModelInfo:
    return EmbeddedScorer().model


@pytest.fixture
def taught(model: ModelInfo, tmp_path: Path) -> dict[str, dict[str, object]]:
    """Settings of a server that was taught two outputs."""
    paths = [write(tmp_path / f"{name}.json", content(model, name)) for name in ("loudness", "haste")]
    return {"scoring": {"user_outputs": paths}}


async def test_events_have_what_the_weights_say_of_their_embedding(
    taught: dict[str, dict[str, object]], model: ModelInfo
) -> None:
    said = content(model)
    weights, bias = np.array(said["weights"]), np.array(said["bias"])
    outputs = pb.OutputConfig(embedding=True, provisional_interval_ms=500)
    async with running_server(taught) as server:
        events = await stream_talk(server.address, TALK, outputs=outputs)
    scored = [event for event in finals(events) if event.emotions]
    assert len(scored) > 4
    for event in scored:
        assert [output.name for output in event.user_outputs] == ["loudness", "haste"]
        logits = weights @ np.array(event.embedding) + bias
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        told = event.user_outputs[0]
        assert [score.label for score in told.scores] == ["calm", "loud"]
        np.testing.assert_allclose([score.probability for score in told.scores], expected, atol=1e-5)
        assert told.top_label == ("calm", "loud")[int(np.argmax(expected))]


async def test_the_models_own_values_are_the_same_with_and_without(
    taught: dict[str, dict[str, object]],
) -> None:
    async with running_server(taught) as with_them, running_server() as without:
        told = finals(await stream_talk(with_them.address, TALK))
        plain = finals(await stream_talk(without.address, TALK))
    assert any(final.user_outputs for final in told)
    for one, other in zip(told, plain, strict=True):
        assert not other.user_outputs
        assert (one.emotions, one.top_label, one.status) == (other.emotions, other.top_label, other.status)


async def test_the_client_names_them_and_says_who_taught_them(taught: dict[str, dict[str, object]]) -> None:
    async with running_server(taught) as server, AffectClient(server.address) as client:
        info = await client.server_info()
        event = await client.analyze(TALK[16_000:52_000])
    assert Feature.USER_OUTPUTS in info.features
    assert [(o.name, o.labels, o.clips) for o in info.user_outputs] == [
        ("loudness", ("calm", "loud"), 20),
        ("haste", ("calm", "loud"), 20),
    ]
    assert info.user_outputs[0].cross_validated_uar == pytest.approx(0.85)
    assert len(info.user_outputs[0].digest) == 64
    assert isinstance(event, AffectEvent)
    assert [output.name for output in event.user_outputs] == ["loudness", "haste"]
    assert event.user_outputs[0].top_probability == max(s.probability for s in event.user_outputs[0].scores)
    text = server_text(info, server.address)
    assert "user-defined outputs" in text
    assert "calm, loud; 20 clips, mean recall 0.85 in cross-validation" in text


async def test_without_any_the_feature_is_off(server_address: str) -> None:
    async with AffectClient(server_address) as client:
        info = await client.server_info()
    assert Feature.USER_OUTPUTS not in info.features
    assert info.user_outputs == ()


async def test_they_are_withheld_with_the_rest_when_consent_is_withdrawn(
    taught: dict[str, dict[str, object]],
) -> None:
    withdrawn = Request(control=pb.Control(consent_withdrawn=pb.ConsentWithdrawn()))
    async with running_server(taught) as server:
        events = await converse(server.address, [config(), withdrawn, *chunks(TALK.tobytes()), END])
    assert len(finals(events)) > 4
    assert not [event for event in finals(events) if event.user_outputs]


async def test_a_server_with_another_model_does_not_start(model: ModelInfo, tmp_path: Path) -> None:
    said = content(model, model={"name": "older 0.1", "sha256": "0" * 64})
    with pytest.raises(SettingsError, match=r"loudness was taught on older 0\.1 .*affect-embedded"):
        async with running_server({"scoring": {"user_outputs": [write(tmp_path / "a.json", said)]}}):
            pass


def test_the_command_says_why_it_does_not_start(model: ModelInfo, tmp_path: Path) -> None:
    said = content(model, model={"name": "older 0.1", "sha256": "0" * 64})
    listed = json.dumps([write(tmp_path / "a.json", said)])
    done = subprocess.run(
        [sys.executable, "-m", "affectstream_server", "--address", "127.0.0.1:0"],
        env=os.environ | {"AFFECTSTREAM_SCORING__USER_OUTPUTS": listed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "loudness was taught on older 0.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_of_the_settings_reads_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (tmp_path / "settings.yaml").write_text("scoring: {user_outputs: [gone.json]}\n", encoding="utf-8")
    assert run(parser.parse_args(["--config", str(tmp_path / "settings.yaml"), "--check"])) == 2
    assert "scoring.user_outputs: gone.json: cannot be read" in capsys.readouterr().err
