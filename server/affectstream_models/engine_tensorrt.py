"""The TensorRT calls, and nothing else: no test runs these lines where no TensorRT can be installed.

Every call is one that NVIDIA documents for 10.x and 11.x. Precision is in the graph's types, so
there is no precision flag; TF32 is cleared because the front end's products need true float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectstream import contract
from affectstream_models.engine_graph import BATCHES
from affectstream_models.engine_plan import REBUILD, Platform
from affectstream_models.errors import ModelsError
from affectstream_models.export import OUTPUTS
from affectstream_models.parity import Audio, Scores, gather


class EngineError(ModelsError):
    """TensorRT is missing, has no GPU, or refused the graph; nothing was installed."""


def _tensorrt() -> Any:
    try:
        import tensorrt  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise EngineError(f"TensorRT is not installed here; build where it will serve: {REBUILD}") from error
    return tensorrt


def platform() -> Platform:
    """TensorRT and the GPU of this machine."""
    trt = _tensorrt()
    if not torch.cuda.is_available():
        raise EngineError(
            "no CUDA GPU is visible here; give the container one (`--gpus all`) or serve configs/torch"
        )
    major, minor = torch.cuda.get_device_capability()
    return Platform(str(trt.__version__), f"sm_{major}{minor}", torch.cuda.get_device_name())


def build(
    onnx: Path, window_samples: int, timing_cache: bytes, say: Callable[[str], Any]
) -> tuple[bytes, bytes]:
    """Compiles a typed ONNX graph; returns the plan and the timing cache to keep for the next build."""
    trt = _tensorrt()
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.WARNING))
    if not parser.parse_from_file(str(onnx)):
        raise EngineError(f"{onnx}: TensorRT {trt.__version__} refused it: {parser.get_error(0)}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.set_timing_cache(config.create_timing_cache(timing_cache), ignore_mismatch=False)
    config.progress_monitor = _monitor(trt, say)
    for batch in BATCHES:
        profile = builder.create_optimization_profile()
        largest = (batch, window_samples)
        profile.set_shape(contract.AUDIO.name, min=(1, window_samples), opt=largest, max=largest)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{onnx}: TensorRT built no engine; its messages above say why")
    return bytes(plan), bytes(config.get_timing_cache().serialize())


def _monitor(trt: Any, say: Callable[[str], Any]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # of an untyped library
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps
            if parent_phase is None:
                say(f"  {phase_name}\n")

        def step_complete(self, phase_name: str, step: int) -> bool:
            say(f"\r  {phase_name}: {step + 1}/{self.steps[phase_name]}\x1b[K")
            return True

        def phase_finish(self, phase_name: str) -> None:
            say(f"\r  {phase_name}: done\x1b[K\n")

    return Monitor()


def run(plan: bytes, audio: Audio, profile: int) -> Scores:
    """Scores int16 windows `[N, samples]` with one optimization profile of a plan, at its batch size."""
    trt = _tensorrt()
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan)
    context = engine.create_execution_context()
    stream = torch.cuda.current_stream().cuda_stream
    context.set_optimization_profile_async(profile, stream)
    batches = []
    for start in range(0, len(audio), BATCHES[profile]):
        rows = audio[start : start + BATCHES[profile]].astype(np.float32)
        tensors = {contract.AUDIO.name: torch.from_numpy(rows).cuda()}
        context.set_input_shape(contract.AUDIO.name, rows.shape)
        for name in OUTPUTS:
            tensors[name] = torch.empty(tuple(context.get_tensor_shape(name)), device="cuda")
        for name, tensor in tensors.items():
            context.set_tensor_address(name, tensor.data_ptr())
        if not context.execute_async_v3(stream):
            raise EngineError(f"the new engine failed on a batch of {len(rows)}; nothing was installed")
        torch.cuda.synchronize()
        batches.append([tensors[name].cpu().numpy() for name in (contract.LOGITS.name, contract.DIMS.name)])
    return gather(batches)
