"""A build from graph to installed plan, with a stand-in for TensorRT: what fails leaves the old engine."""

from __future__ import annotations

import argparse
import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from affectstream.contract import EMOTIONS
from affectstream_models import engine, engine_plan, engine_tensorrt
from affectstream_models.engine import Request
from affectstream_models.engine_plan import MANIFEST, PLAN, PlanError, PlanRecord, Platform, install, verify
from affectstream_models.engine_tensorrt import EngineError
from affectstream_models.errors import ModelsError
from affectstream_models.parity import Audio, ParityError, Scores, run_onnx
from tests.models.meralion.conftest import Exported

HERE = Platform(tensorrt="10.15.1", architecture="sm_90", gpu="a GPU")


class StandIn:
    """Answers as the reference does, but for what a test asks to go wrong."""

    def __init__(self, reference: Path) -> None:
        self.reference = reference
        self.shift = 0.0
        self.stop: BaseException | None = None
        self.profiles: list[int] = []
        self.seen_cache = b""

    def platform(self) -> Platform:
        return HERE

    def build(
        self, onnx: Path, window_samples: int, timing_cache: bytes, say: Callable[[str], Any]
    ) -> tuple[bytes, bytes]:
        assert window_samples == 16_000
        say("timing\n")
        if self.stop:
            raise self.stop
        self.seen_cache = timing_cache
        return b"plan of " + onnx.name.encode(), b"timings"

    def run(self, plan: bytes, audio: Audio, profile: int) -> Scores:
        assert plan.startswith(b"plan of")
        self.profiles.append(profile)
        scores = run_onnx(self.reference, audio, batch=4)
        return Scores(scores.logits + np.float32(self.shift) * np.eye(7, dtype=np.float32)[0], scores.dims)


@pytest.fixture
def request_(exported: Exported, speech: Path, tmp_path: Path) -> Request:
    return Request(
        onnx=exported("bf16"),
        reference=exported("float32"),
        speech=speech / "emodb" / "test",
        folder=tmp_path / "meralion_ser" / "1",
        timing_cache=tmp_path / "timing.cache",
        windows=6,
    )


@pytest.fixture
def stand_in(request_: Request) -> StandIn:
    return StandIn(request_.reference)


@pytest.fixture
def old(request_: Request) -> bytes:
    """An engine that serves already."""
    install(request_.folder, b"old plan", record(b"old plan"))
    return b"old plan"


def record(plan: bytes, platform: Platform = HERE) -> PlanRecord:
    return PlanRecord(
        plan_sha256=engine_plan.sha256_of(plan),
        platform=platform,
        precision="bf16",
        source_sha256="s",
        onnx_sha256="o",
        card_sha256="c",
        batches=(1, 8, 32),
        built_on="2026-01-01",
        parity={"windows": 1},
    )


def quiet(_: str) -> None:
    pass


def test_a_build_installs_a_plan_that_may_serve_here(request_: Request, stand_in: StandIn) -> None:
    said: list[str] = []
    built = engine.build(request_, stand_in, said.append)
    assert verify(request_.folder, HERE) == built
    assert {file.name for file in request_.folder.iterdir()} == {PLAN, MANIFEST}
    assert stand_in.profiles == [0, 1, 2], "each profile is compared"
    manifest = json.loads((request_.folder / MANIFEST).read_text())["plans"][0]
    assert manifest["platform"] == {"tensorrt": "10.15.1", "architecture": "sm_90", "gpu": "a GPU"}
    assert manifest["precision"] == "bf16"
    assert manifest["parity"]["windows"] == 6
    assert manifest["parity"]["argmax_agreement"] == 1.0
    assert len(manifest["onnx_sha256"]) == len(manifest["source_sha256"]) == 64
    assert any("10.15.1 on a GPU" in line for line in said)


def test_the_timing_cache_is_kept_for_the_next_build(request_: Request, stand_in: StandIn) -> None:
    engine.build(request_, stand_in, quiet)
    assert stand_in.seen_cache == b""
    engine.build(request_, stand_in, quiet)
    assert stand_in.seen_cache == b"timings"


def test_timings_that_cannot_be_kept_do_not_fail_the_build(request_: Request, stand_in: StandIn) -> None:
    said: list[str] = []
    engine.build(replace(request_, timing_cache=request_.speech), stand_in, said.append)
    assert any("timings not kept (Is a directory)" in line for line in said)


def test_an_engine_out_of_budget_is_not_installed(request_: Request, stand_in: StandIn, old: bytes) -> None:
    stand_in.shift = 5.0
    with pytest.raises(
        ParityError, match=r"over 6 windows of speech, the card asks for .* nothing was installed"
    ):
        engine.build(request_, stand_in, quiet)
    assert (request_.folder / PLAN).read_bytes() == old
    verify(request_.folder, HERE)


@pytest.mark.parametrize("stop", [EngineError("refused"), KeyboardInterrupt(), MemoryError()])
def test_a_build_that_stops_leaves_the_old_engine(
    request_: Request, stand_in: StandIn, old: bytes, stop: BaseException
) -> None:
    stand_in.stop = stop
    with pytest.raises(type(stop)):
        engine.build(request_, stand_in, quiet)
    assert (request_.folder / PLAN).read_bytes() == old
    assert {file.name for file in request_.folder.iterdir()} == {PLAN, MANIFEST}


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_install_stopped_at_any_step_leaves_a_known_plan(
    request_: Request, old: bytes, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """No space at the first, second or third write: the plan on disk is whole, and the manifest knows it."""
    done = 0
    real = engine_plan._replace

    def failing(path: Path, content: bytes) -> None:
        nonlocal done
        done += 1
        if done == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    monkeypatch.setattr(engine_plan, "_replace", failing)
    with pytest.raises(PlanError, match="no space left on its disk"):
        install(request_.folder, b"new plan", record(b"new plan"))
    assert (request_.folder / PLAN).read_bytes() == (b"new plan" if step == 3 else old)
    verify(request_.folder, HERE)


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (replace(HERE, tensorrt="10.3.0"), "built for TensorRT 10.3.0, this machine has 10.15.1"),
        (replace(HERE, architecture="sm_80"), "built for GPU architecture sm_80, this machine has sm_90"),
    ],
)
def test_a_plan_of_another_platform_is_refused_with_the_command(
    tmp_path: Path, there: Platform, says: str
) -> None:
    install(tmp_path, b"plan", record(b"plan", there))
    with pytest.raises(PlanError, match=f"{says}; rebuild it: docker compose run --rm build"):
        verify(tmp_path, HERE)


def test_another_gpu_of_the_same_architecture_may_serve(tmp_path: Path) -> None:
    install(tmp_path, b"plan", record(b"plan", replace(HERE, gpu="its sister")))
    verify(tmp_path, HERE)


def test_a_plan_with_another_label_order_is_refused(tmp_path: Path) -> None:
    install(tmp_path, b"plan", replace(record(b"plan"), labels=EMOTIONS[::-1]))
    with pytest.raises(PlanError, match="built for label order"):
        verify(tmp_path, HERE)


def test_a_plan_that_nobody_built_here_is_refused(tmp_path: Path) -> None:
    install(tmp_path, b"plan", record(b"plan"))
    (tmp_path / PLAN).write_bytes(b"planted")
    with pytest.raises(PlanError, match=r"is not in manifest\.json; rebuild it"):
        verify(tmp_path, HERE)


def test_no_plan_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no engine has been built; build it: docker compose run --rm build"):
        verify(tmp_path, HERE)


@pytest.mark.parametrize("text", ["", "{}", '{"plans": [{}]}', '{"plans": 3}'])
def test_a_broken_manifest_is_said_to_be_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / PLAN).write_bytes(b"plan")
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(PlanError, match="not a manifest"):
        verify(tmp_path, HERE)


def test_a_repository_that_cannot_be_written_is_refused_before_the_build(
    request_: Request, stand_in: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlanError, match="cannot be written"):
        engine.build(replace(request_, folder=tmp_path / "file" / "1"), stand_in, quiet)
    assert stand_in.profiles == []


def test_a_full_disk_is_refused_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"bytes free, .* needed for an engine"):
        engine_plan.require_writable(tmp_path, 2**60)


def test_graphs_that_do_not_belong_together_are_refused(
    request_: Request, stand_in: StandIn, exported: Exported, tmp_path: Path
) -> None:
    with pytest.raises(
        ModelsError, match="AUDIO is int16, which TensorRT lacks; export with --audio float32"
    ):
        engine.build(replace(request_, onnx=exported("float32", "int16")), stand_in, quiet)
    with pytest.raises(ModelsError, match="is bf16; the reference must be float32"):
        engine.build(replace(request_, reference=request_.onnx), stand_in, quiet)
    foreign = tmp_path / "foreign.onnx"
    graph = onnx.load(request_.reference)
    source = next(item for item in graph.metadata_props if item.key == "affectstream.source_sha256")
    source.value = "0" * 64
    onnx.save(graph, foreign)
    with pytest.raises(ModelsError, match="hold different weights; export both again"):
        engine.build(replace(request_, reference=foreign), stand_in, quiet)


def run(words: list[str], backend: engine.Backend) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    engine.add_arguments(parser)
    said: list[str] = []
    return engine.run(parser.parse_args(words), backend, said.append), "".join(said)


def test_the_command_builds_then_checks(request_: Request, stand_in: StandIn, tmp_path: Path) -> None:
    words = [
        "--repository",
        str(tmp_path),
        "--onnx",
        str(request_.onnx),
        "--reference",
        str(request_.reference),
    ]
    status, said = run([*words, "--speech", str(request_.speech), "--windows", "3"], stand_in)
    assert status == 0
    assert f"installed {tmp_path / 'meralion_ser' / '1' / PLAN}: bf16" in said
    status, said = run(["--repository", str(tmp_path), "--check"], stand_in)
    assert status == 0
    assert "bf16 engine for TensorRT 10.15.1, may serve here" in said


def test_the_command_asks_for_both_graphs(stand_in: StandIn) -> None:
    with pytest.raises(ModelsError, match="--onnx and --reference are both needed"):
        run([], stand_in)


def test_without_tensorrt_the_line_says_where_to_build() -> None:
    with pytest.raises(EngineError, match="TensorRT is not installed here; build where it will serve"):
        engine_tensorrt.platform()


def test_without_a_gpu_the_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_tensorrt, "_tensorrt", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="no CUDA GPU is visible here"):
        engine_tensorrt.platform()
