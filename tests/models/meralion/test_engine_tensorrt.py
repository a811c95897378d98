"""The calls to TensorRT against a stand-in with only the documented names: their order and arguments.

It proves that the lines run and say what they mean to, not that TensorRT agrees.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from affectstream_models import engine_tensorrt
from affectstream_models.engine_tensorrt import EngineError


class StandIn:
    """Writes down every call; knows the names that NVIDIA documents for 10.x and 11.x, and no other."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.parses = True
        self.plan: bytes | None = b"plan"
        self.monitor: Any = None

    def module(self) -> Any:
        said = self.calls.append
        config = SimpleNamespace(
            clear_flag=lambda flag: said(f"clear {flag}"),
            create_timing_cache=lambda content: content,
            set_timing_cache=lambda cache, ignore_mismatch: said(f"cache {cache!r} {ignore_mismatch}"),
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: bytearray(b"timings")),
            add_optimization_profile=lambda profile: said(f"profile {profile.shapes}"),
            progress_monitor=None,
        )

        def profile() -> Any:
            made = SimpleNamespace(shapes=None)
            made.set_shape = lambda name, **shapes: setattr(made, "shapes", (name, shapes))
            return made

        def compile_network(network: str, with_config: Any) -> bytes | None:
            said(f"build {network}")
            monitor = with_config.progress_monitor
            monitor.phase_start("timing", None, 2)
            assert monitor.step_complete("timing", 0) is True
            monitor.phase_finish("timing")
            return self.plan

        builder = SimpleNamespace(
            create_network=lambda flags: said(f"network {flags}") or "network",
            create_builder_config=lambda: config,
            create_optimization_profile=profile,
            build_serialized_network=compile_network,
        )
        parser = SimpleNamespace(
            parse_from_file=lambda path: said(f"parse {Path(path).name}") or self.parses,
            get_error=lambda index: f"error {index}",
        )
        return SimpleNamespace(
            __version__="10.15.1",
            Logger=SimpleLogger,
            Builder=lambda _: builder,
            OnnxParser=lambda *_: parser,
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
            BuilderFlag=SimpleNamespace(TF32="TF32"),
            IProgressMonitor=object,
            Runtime=lambda _: SimpleNamespace(deserialize_cuda_engine=self.engine),
        )

    def engine(self, _: bytes) -> Any:
        """Scores a batch by its rows' first samples."""
        shape: list[int] = []
        sizes = {"LOGITS": 7, "DIMS": 3, "EMBEDDING": 256, "FRAME_ATTENTION": 1500}
        context = SimpleNamespace(
            set_optimization_profile_async=lambda index, _: self.calls.append(f"use {index}"),
            set_input_shape=lambda _, given: shape.__setitem__(slice(None), given),
            get_tensor_shape=lambda name: (shape[0], sizes[name]),
            set_tensor_address=lambda name, _: self.calls.append(f"bind {name}"),
            execute_async_v3=lambda _: self.plan is not None,
        )
        return SimpleNamespace(create_execution_context=lambda: context)


class SimpleLogger:
    WARNING = 2

    def __init__(self, level: int) -> None:
        assert level == self.WARNING


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in.module())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=7))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda shape, **_: real(shape).fill_(0.5))
    return stand_in


@pytest.mark.usefixtures("trt")
def test_the_platform_is_told() -> None:
    here = engine_tensorrt.platform()
    assert (here.tensorrt, here.architecture, here.gpu) == ("10.15.1", "sm_90", "a GPU")


def test_a_network_is_strongly_typed_without_tf32_and_has_three_profiles(trt: StandIn) -> None:
    said: list[str] = []
    assert engine_tensorrt.build(Path("model.onnx"), 480_000, b"old", said.append) == (b"plan", b"timings")
    assert trt.calls == [
        "network 2",
        "parse model.onnx",
        "clear TF32",
        "cache b'old' False",
        *(
            f"profile ('AUDIO', {{'min': (1, 480000), 'opt': ({batch}, 480000), 'max': ({batch}, 480000)}})"
            for batch in (1, 8, 32)
        ),
        "build network",
    ]
    assert any("timing: 1/2" in line for line in said)


def test_what_tensorrt_refuses_is_said_in_its_words(trt: StandIn) -> None:
    trt.plan = None
    with pytest.raises(EngineError, match=r"model\.onnx: TensorRT built no engine"):
        engine_tensorrt.build(Path("model.onnx"), 480_000, b"", lambda _: None)
    trt.parses = False
    with pytest.raises(EngineError, match=r"model\.onnx: TensorRT 10\.15\.1 refused it: error 0"):
        engine_tensorrt.build(Path("model.onnx"), 480_000, b"", lambda _: None)


def test_every_tensor_is_bound_for_every_batch(trt: StandIn) -> None:
    scores = engine_tensorrt.run(b"plan", np.zeros((10, 16), np.int16), profile=1)
    assert scores.logits.shape == (10, 7)
    assert scores.dims.shape == (10, 3)
    bound = [f"bind {name}" for name in ("AUDIO", "LOGITS", "DIMS", "EMBEDDING", "FRAME_ATTENTION")]
    assert trt.calls == ["use 1", *bound, *bound], "a batch of eight, then one of two"


def test_an_engine_that_fails_to_run_is_said_to(trt: StandIn) -> None:
    trt.plan = None
    with pytest.raises(EngineError, match="the new engine failed on a batch of 1"):
        engine_tensorrt.run(b"plan", np.zeros((1, 16), np.int16), profile=0)
