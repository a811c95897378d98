"""ONNX files: what they compute, what they say of themselves, and that none is ever half there."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch

from affectstream import contract
from affectstream_models import export as export_module
from affectstream_models.errors import ModelsError
from affectstream_models.export import ExportError, ExportOptions, export, weights_sha256
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_card import card_sha256
from tests.models.meralion.conftest import Exported
from tests.models.meralion.helpers import (
    CONFIG_JSON,
    SMALL,
    Samples,
    cut,
    lively,
    save_checkpoint,
    with_decoder,
)

FULL_SCALE = 32_768.0


def answers(path: Path, audio: Samples) -> list[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = np.int16 if "int16" in session.get_inputs()[0].type else np.float32
    return list(session.run(None, {contract.AUDIO.name: audio.astype(wanted)}))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("audio", "opset"), [("int16", 22), ("float32", 22), ("float32", 18)])
def test_onnxruntime_answers_as_torch_does(
    exported: Exported, talk: Samples, batch: int, audio: str, opset: int
) -> None:
    windows = cut(talk, batch, SMALL.window_samples)
    found = answers(exported("float32", audio, opset), windows)
    with torch.inference_mode():
        expected = lively(SMALL)(torch.from_numpy(windows))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs.numpy()).max() < 1e-4
    if batch > 1:
        assert np.abs(found[0][0] - found[0][1]).max() > 1e-3, "different speech must get different answers"


def test_fp16_graph_is_near_the_float32_one(exported: Exported, talk: Samples) -> None:
    windows = cut(talk, 3, SMALL.window_samples)
    exact, rounded = (answers(exported(kind), windows) for kind in ("float32", "fp16"))
    assert 0 < np.abs(exact[0] - rounded[0]).max() < 0.02


def test_the_file_does_not_tell_where_it_was_made(exported: Exported) -> None:
    held = exported("fp16").read_bytes()
    assert not [mark for mark in (b"stack_trace", b"/affectstream_models/", b"site-packages") if mark in held]


def test_metadata_is_the_contracts(exported: Exported) -> None:
    said = {item.key: item.value for item in onnx.load(exported("fp16")).metadata_props}
    assert {contract.METADATA_PREFIX + key for key in contract.METADATA_KEYS} <= set(said)
    assert said["affectstream.labels"] == ",".join(contract.EMOTIONS)
    assert said["affectstream.dimensions"] == ",".join(contract.DIMENSIONS)
    assert said["affectstream.sample_rate_hz"] == "16000"
    assert (
        said["affectstream.window_samples"] == said["affectstream.max_samples"] == str(SMALL.window_samples)
    )
    assert said["affectstream.card_sha256"] == card_sha256()
    assert said["affectstream.source_sha256"] == weights_sha256(lively(SMALL))
    assert said["affectstream.precision"] == "fp16"


def test_source_digest_tells_weights_apart() -> None:
    assert weights_sha256(lively(SMALL)) == weights_sha256(lively(SMALL))
    assert weights_sha256(lively(SMALL)) != weights_sha256(lively(SMALL, seed=1))


@pytest.fixture
def traced(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes seconds: what is not about the graph takes one that was traced before."""
    path = exported("float32", "int16")  # by the real way, be this the first that wants it
    monkeypatch.setattr(export_module, "_trace", lambda *_: onnx_ir.load(path))


@pytest.mark.usefixtures("traced")
def test_weights_beside_the_model_are_named_after_their_source(tmp_path: Path, talk: Samples) -> None:
    """An export replaces model and data, and leaves nothing of an earlier one."""
    path = tmp_path / "model.onnx"
    (tmp_path / "model.0123456789ab.float32.data").write_bytes(b"of an earlier export")
    model, windows = lively(SMALL), cut(talk, 1, SMALL.window_samples)
    export(model, path, ExportOptions(external_data=True))
    data = f"model.{weights_sha256(model)[:12]}.float32.data"
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", data}
    assert path.stat().st_size < 1_000_000
    with torch.inference_mode():
        expected = model(torch.from_numpy(windows)).logits.numpy()
    assert np.abs(answers(path, windows)[0] - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (ExportOptions(precision="bf16", opset=18), "bf16 needs 22, where Conv first takes bfloat16"),
        (ExportOptions(opset=17), "opset 17: expected 18..22"),
        (ExportOptions(opset=23), "opset 23: expected 18..22"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: ExportOptions, says: str) -> None:
    with pytest.raises(ExportError, match=says):
        export(lively(SMALL), tmp_path / "model.onnx", options)


def test_a_full_disk_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(ExportError, match=r"1 bytes free, [\d,]+ needed"):
        export(lively(SMALL), tmp_path / "model.onnx")


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def fail(_: object, new: Path, **__: object) -> None:
        Path(new).write_bytes(b"half")
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(onnx_ir, "save", fail)
    with pytest.raises(ExportError) as caught:
        export(lively(SMALL), path)
    assert str(path) in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        export(lively(SMALL), tmp_path / "missing" / "model.onnx")


@pytest.mark.usefixtures("traced")
def test_the_command_reads_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_checkpoint(tmp_path / "checkpoint", with_decoder(lively(SMALL)))
    load = MeralionSer.from_checkpoint
    monkeypatch.setattr(
        MeralionSer,
        "from_checkpoint",
        lambda path, *, revision: load(path, revision=revision, config=SMALL),
    )
    parser = argparse.ArgumentParser()
    export_module.add_arguments(parser)
    out = tmp_path / "model.onnx"
    said: list[str] = []
    words = [str(out), "--checkpoint", str(folder), "--precision", "fp16", "--audio", "float32"]
    assert export_module.run(parser.parse_args(words), said.append) == 0
    assert out.is_file()
    assert f"wrote {out}" in said[-1]


def test_the_command_fails_before_anything_is_written(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "small", with_decoder(lively(SMALL)), config=CONFIG_JSON)
    parser = argparse.ArgumentParser()
    export_module.add_arguments(parser)
    out = tmp_path / "model.onnx"
    with pytest.raises(ModelsError, match="tensors missing"):
        export_module.run(parser.parse_args([str(out), "--checkpoint", str(folder)]), lambda _: None)
    assert not out.exists()
