"""MERaLiON-SER behind Triton's Python backend, for machines where no engine has been built.

`triton_repo/meralion_ser/1/model.py` is a few lines over this. On a GPU the encoder computes in
bf16 and runs as CUDA graphs; on a CPU everything is float32. Tensors cross by DLPack and never
through numpy, whose version 2 corrupts them silently in some builds of the backend.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from affectstream import contract
from affectstream_models.export import OUTPUTS
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_config import MeralionConfig, MeralionOutput
from affectstream_models.meralion_cuda import GraphedModel

CHECKPOINT_ENV: Final = "AFFECTSTREAM_MERALION_CHECKPOINT"
"""Overrides the configuration's `checkpoint`: a folder, a `.safetensors` file or a hub id."""

Scorer = Callable[[Tensor], MeralionOutput]


class CanaryError(RuntimeError):
    """The network does not answer as it must before it may serve."""


class TritonTarget:
    """One instance of the model: loads at once, then answers batches of requests.

    Args:
        args: what Triton passes to `initialize`.
        pb_utils: Triton's `triton_python_backend_utils`.
        config: sizes of the network; the published ones by default.
    """

    def __init__(self, args: dict[str, str], pb_utils: Any, config: MeralionConfig | None = None) -> None:
        self._pb_utils = pb_utils
        parameters = json.loads(args["model_config"]).get("parameters", {})
        said = {name: value["string_value"] for name, value in parameters.items()}
        checkpoint = os.environ.get(CHECKPOINT_ENV) or said["checkpoint"]
        model = MeralionSer.from_checkpoint(checkpoint, revision=said["revision"], config=config)
        device = f"cuda:{args['model_instance_device_id']}" if torch.cuda.is_available() else "cpu"
        self._score = scorer(model, device)
        _canary(self._score, model.config.window_samples)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Scores every request in one batch; each gets its own rows, or all get the one error."""
        try:
            audio = [_read(self._pb_utils, request) for request in requests]
            out = self._score(torch.cat(audio))
        except Exception as error:  # noqa: BLE001 - the request must be answered whatever went wrong
            failed = self._pb_utils.TritonError(f"{type(error).__name__}: {error}")
            return [self._pb_utils.InferenceResponse(output_tensors=[], error=failed) for _ in requests]
        rows = [len(part) for part in audio]
        columns = [torch.split(tensor.cpu(), rows) for tensor in out]
        return [self._answer(parts) for parts in zip(*columns, strict=True)]

    def _answer(self, parts: Sequence[Tensor]) -> Any:
        tensors = [
            self._pb_utils.Tensor.from_dlpack(name, part.contiguous())
            for name, part in zip(OUTPUTS, parts, strict=True)
        ]
        return self._pb_utils.InferenceResponse(output_tensors=tensors)


def scorer(model: MeralionSer, device: str) -> Scorer:
    """The network on a device: bf16 and CUDA graphs on a GPU, float32 and eager on a CPU."""
    if device == "cpu":
        return _eager(model)
    torch.cuda.set_device(device)
    use_true_float32()
    return GraphedModel(model.set_precision("bf16").to(device), model.config.window_samples)


def use_true_float32() -> None:
    """Float32 products and convolutions of this process without TF32: the front end's quiet bins need it."""
    # Not the newer per-operator settings: torch's compiler reads these, and refuses a mixture.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def _eager(model: MeralionSer) -> Scorer:
    @torch.inference_mode()
    def score(audio: Tensor) -> MeralionOutput:
        out: MeralionOutput = model(audio)
        return out

    return score


def _read(pb_utils: Any, request: Any) -> Tensor:
    tensor: Tensor = from_dlpack(pb_utils.get_input_tensor_by_name(request, contract.AUDIO.name))
    return tensor


def _canary(score: Scorer, window_samples: int) -> None:
    """Silence and a tone: finite, the dims in 0..1, and not the same answer."""
    tone = (8_000 * torch.sin(torch.arange(window_samples) * 0.1)).to(torch.int16)
    out = score(torch.stack([torch.zeros_like(tone), tone]))
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in out)
    in_range = bool(((out.dims >= 0) & (out.dims <= 1)).all())
    if not finite or not in_range or torch.equal(out.logits[0], out.logits[1]):
        raise CanaryError(
            "silence and a tone gave logits "
            f"{out.logits.tolist()} and dims {out.dims.tolist()}; the checkpoint or torch is broken"
        )
