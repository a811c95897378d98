"""The Python backend's target with a stand-in for Triton's module; `configs/torch.pbtxt` names the rest."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from affectstream_models import meralion_triton
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_cuda import BATCHES, fitting
from affectstream_models.meralion_hub import CheckpointError
from affectstream_models.meralion_triton import CanaryError, TritonTarget
from tests.models.meralion.helpers import SMALL, Samples, cut, lively, save_checkpoint, with_decoder


class FakeTensor:
    """Crosses by DLPack, as Triton's does."""

    def __init__(self, name: str, values: torch.Tensor) -> None:
        self.name, self.values = name, values

    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()

    @classmethod
    def from_dlpack(cls, name: str, tensor: torch.Tensor) -> FakeTensor:
        assert tensor.is_contiguous()
        return cls(name, torch.from_dlpack(tensor))  # type: ignore[attr-defined]


@dataclass
class Response:
    output_tensors: list[FakeTensor]
    error: str | None = None


@dataclass
class FakeTriton:
    Tensor: ClassVar[type[FakeTensor]] = FakeTensor
    InferenceResponse: ClassVar[type[Response]] = Response
    TritonError: ClassVar[type[str]] = str
    log: list[str] = field(default_factory=list)

    @staticmethod
    def get_input_tensor_by_name(request: Samples, name: str) -> FakeTensor:
        assert name == "AUDIO"
        return FakeTensor(name, torch.from_numpy(request))


@pytest.fixture
def args(tmp_path: Path) -> dict[str, str]:
    """What Triton hands to `initialize`, for a small checkpoint on disk."""
    folder = save_checkpoint(tmp_path, with_decoder(lively(SMALL)))
    parameters = {"checkpoint": {"string_value": str(folder)}, "revision": {"string_value": "x"}}
    return {"model_config": json.dumps({"parameters": parameters}), "model_instance_device_id": "0"}


def test_requests_are_scored_in_one_batch_and_answered_each(args: dict[str, str], talk: Samples) -> None:
    target = TritonTarget(args, FakeTriton(), SMALL)
    windows = cut(talk, 6, SMALL.window_samples)
    responses = target.execute([windows[:1], windows[1:4], windows[4:]])
    with torch.inference_mode():
        expected = lively(SMALL)(torch.from_numpy(windows))
    for index, name in enumerate(("LOGITS", "DIMS", "EMBEDDING", "FRAME_ATTENTION")):
        parts = [response.output_tensors[index] for response in responses]
        assert [part.name for part in parts] == [name] * 3
        assert [len(part.values) for part in parts] == [1, 3, 2]
        assert torch.allclose(torch.cat([part.values for part in parts]), expected[index], atol=1e-5)
    assert {response.error for response in responses} == {None}


def test_a_batch_that_fails_answers_every_request(args: dict[str, str]) -> None:
    target = TritonTarget(args, FakeTriton(), SMALL)
    good, bad = np.zeros((1, SMALL.window_samples), np.int16), np.zeros((1, 7), np.int16)
    responses = target.execute([good, bad])
    assert len(responses) == 2
    assert all(response.error and "RuntimeError" in response.error for response in responses)


def test_the_environment_goes_before_the_configuration(
    args: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(meralion_triton.CHECKPOINT_ENV, str(tmp_path / "elsewhere"))
    with pytest.raises(CheckpointError, match="elsewhere: no such file or folder"):
        TritonTarget(args, FakeTriton(), SMALL)


def test_a_network_that_answers_alike_may_not_serve(
    args: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead checkpoint: every weight of the last layer is zero."""
    model = lively(SMALL)
    model.state_dict()["emotion_classification_layer.2.weight"].zero_()
    monkeypatch.setenv(
        meralion_triton.CHECKPOINT_ENV, str(save_checkpoint(tmp_path / "dead", model.state_dict()))
    )
    with pytest.raises(CanaryError, match="silence and a tone gave logits"):
        TritonTarget(args, FakeTriton(), SMALL)


def test_the_file_that_triton_loads_is_the_installed_package(
    args: dict[str, str], talk: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).resolve().parents[3] / "triton_repo" / "meralion_ser" / "1" / "model.py"
    pb_utils: Any = ModuleType("triton_python_backend_utils")
    for name in ("Tensor", "InferenceResponse", "TritonError", "get_input_tensor_by_name"):
        setattr(pb_utils, name, getattr(FakeTriton, name))
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", pb_utils)
    monkeypatch.setattr(MeralionSer, "__init__", _small_init())
    spec = importlib.util.spec_from_file_location("model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize(args)
    assert len(model.execute([cut(talk, 1, SMALL.window_samples)])) == 1


def _small_init() -> Any:
    real = MeralionSer.__init__
    return lambda self, _config: real(self, SMALL)


def test_a_batch_is_padded_to_the_next_graph() -> None:
    assert [fitting(BATCHES, rows) for rows in (1, 2, 3, 5, 16, 17, 32)] == [1, 2, 4, 8, 16, 32, 32]
    with pytest.raises(ValueError, match="33 rows is larger than the largest graph, 32"):
        fitting(BATCHES, 33)
