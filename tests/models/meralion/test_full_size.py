"""The published size through ONNX: minutes and gigabytes, so only where AFFECTSTREAM_SLOW asks for it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from affectstream_models.engine_graph import casts, check, load
from affectstream_models.export import OUTPUTS, ExportOptions, export
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_config import MeralionOutput
from affectstream_models.parity import Scores, compare, run_onnx, speech_windows
from tests.models.meralion.helpers import Samples, lively, save_checkpoint

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("AFFECTSTREAM_SLOW"), reason="published size: set AFFECTSTREAM_SLOW=1"
    ),
    pytest.mark.timeout(1_800),
]
WINDOWS = 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("published"), lively().state_dict())


@pytest.fixture(scope="module")
def audio(speech: Path) -> Samples:
    return speech_windows(speech / "emodb" / "test", WINDOWS, 480_000)


@pytest.fixture(scope="module")
def answers(checkpoint: Path, audio: Samples) -> MeralionOutput:
    with torch.inference_mode():
        rows = [
            MeralionSer.from_checkpoint(checkpoint)(torch.from_numpy(audio[i : i + 1]))
            for i in range(WINDOWS)
        ]
    return MeralionOutput(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def test_onnxruntime_answers_as_torch_does(
    checkpoint: Path, audio: Samples, answers: MeralionOutput, tmp_path: Path
) -> None:
    path = export(MeralionSer.from_checkpoint(checkpoint), tmp_path / "model.onnx")
    check(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (slice(0, 1), slice(1, 4)):
        found = session.run(list(OUTPUTS), {"AUDIO": audio[rows]})
        for ours, theirs in zip(found, answers, strict=True):
            assert np.abs(ours - theirs[rows].numpy()).max() < 1e-4
    assert answers.logits.std(dim=0).min() > 1e-3, "different speech must get different answers"


def test_bf16_graph_has_98_casts(checkpoint: Path, tmp_path: Path) -> None:
    options = ExportOptions(precision="bf16", audio="float32")
    path = export(MeralionSer.from_checkpoint(checkpoint), tmp_path / "model.onnx", options)
    check(path)
    found = Counter((cast.source, cast.target) for cast in casts(load(path)))
    assert found == {("FLOAT", "BFLOAT16"): 49, ("BFLOAT16", "FLOAT"): 49}


def test_fp16_graph_is_near_float32(
    checkpoint: Path, audio: Samples, answers: MeralionOutput, tmp_path: Path
) -> None:
    options = ExportOptions(precision="fp16", audio="float32")
    path = export(MeralionSer.from_checkpoint(checkpoint), tmp_path / "model.onnx", options)
    check(path)
    exact = Scores(answers.logits.numpy(), answers.dims.numpy())
    assert compare(exact, run_onnx(path, audio)).max_probability_delta < 0.02
