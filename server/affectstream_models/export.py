"""`affectstream-models export`: a checkpoint to one ONNX file whose types say what is computed in what."""

from __future__ import annotations

import argparse
import errno
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import onnx
import onnx_ir
import torch
from torch import Tensor, nn

from affectstream import contract
from affectstream_models.errors import ModelsError
from affectstream_models.exported import forget_origin
from affectstream_models.meralion import PRODUCT_DTYPES, MeralionSer, Precision
from affectstream_models.meralion_card import NAME, VERSION, card_sha256
from affectstream_models.meralion_config import HUB_ID, PINNED_REVISION, MeralionOutput

OUTPUTS: Final = (
    contract.LOGITS.name,
    contract.DIMS.name,
    contract.EMBEDDING.name,
    contract.FRAME_ATTENTION.name,
)
OPSET: Final = 22
"""The first opset whose Conv takes bfloat16; float32 and fp16 graphs can go down to 18."""
OLDEST_OPSET: Final = 18
MAX_BATCH: Final = 32
_FULL_SCALE: Final = 32_768.0
_ONE_FILE_BYTES: Final = 1_500_000_000
"""Protobuf ends at 2 GiB; weights beyond this go to a data file beside the model."""

AudioType = Literal["int16", "float32"]
_AUDIO_DTYPES: Final[dict[AudioType, torch.dtype]] = {"int16": torch.int16, "float32": torch.float32}


class ExportError(ModelsError):
    """An export that could not be written; nothing is left behind and an older file stays as it was."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What kind of graph to write."""

    precision: Precision = "float32"
    """Of the encoder's products; everything else is float32 in every graph."""
    audio: AudioType = "int16"
    """Element type of AUDIO, full scale ±32,768 in both. TensorRT has no 16-bit integers and
    needs float32."""
    opset: int = OPSET
    external_data: bool | None = None
    """Weights in a file beside the model; None decides by size."""


class _Served(nn.Module):
    """The network behind the contract's AUDIO, whose full scale is ±32,768 whatever its type."""

    def __init__(self, model: MeralionSer) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio: Tensor) -> MeralionOutput:
        out: MeralionOutput = self.model(audio.to(torch.float32) / _FULL_SCALE)
        return out


def export(model: MeralionSer, path: Path, options: ExportOptions = ExportOptions()) -> Path:
    """Writes `model` as ONNX and checks what was written.

    Inputs and outputs: AUDIO int16 or float32 `[batch, 480000]` → LOGITS `[batch, 7]`, DIMS
    `[batch, 3]`, EMBEDDING `[batch, 256]`, FRAME_ATTENTION `[batch, 1500]`, all float32. The
    model's encoder is rounded to `options.precision` in place.

    Args:
        model: with the weights to write, at float32.
        path: the `.onnx` file; replaced in one step when everything is on disk.

    Raises:
        ExportError: for no space, a folder that cannot be written, or options that exclude each
            other.
    """
    if options.precision == "bf16" and options.opset < OPSET:
        raise ExportError(
            f"opset {options.opset}: bf16 needs {OPSET}, where Conv first takes bfloat16; or take fp16"
        )
    if not OLDEST_OPSET <= options.opset <= OPSET:
        raise ExportError(f"opset {options.opset}: expected {OLDEST_OPSET}..{OPSET}")
    source = weights_sha256(model)
    model.set_precision(options.precision)
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    _require_space(path.parent, size)
    graph = _trace(model, options)
    graph.metadata_props.update(metadata(model, source, options))
    external = size > _ONE_FILE_BYTES if options.external_data is None else options.external_data
    data_name = f"{path.stem}.{source[:12]}.{options.precision}.data" if external else None
    _write(graph, path, data_name)
    return path


def metadata(model: MeralionSer, source_sha256: str, options: ExportOptions) -> dict[str, str]:
    """What the file says of itself, under `contract.METADATA_PREFIX`."""
    facts = {
        "name": NAME,
        "version": VERSION,
        "labels": ",".join(contract.EMOTIONS),
        "dimensions": ",".join(contract.DIMENSIONS),
        "sample_rate_hz": str(contract.SAMPLE_RATE_HZ),
        "max_samples": str(model.config.window_samples),
        "calibrated": "false",
        "card_sha256": card_sha256(),
        "window_samples": str(model.config.window_samples),
        "source_sha256": source_sha256,
        "precision": options.precision,
        "audio": options.audio,
    }
    return {contract.METADATA_PREFIX + key: value for key, value in facts.items()}


def weights_sha256(model: nn.Module) -> str:
    """Digest of every parameter's name, type, shape and bytes: says which weights a file came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _trace(model: MeralionSer, options: ExportOptions) -> onnx_ir.Model:
    # Two rows, since a batch of one would be taken for a constant.
    audio = torch.zeros(2, model.config.window_samples, dtype=_AUDIO_DTYPES[options.audio])
    # It warns that torchvision's operators are unknown to it, which this graph has none of.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.filterwarnings("ignore", category=FutureWarning, message=".*LeafSpec.*")
        program = torch.onnx.export(
            _Served(model).eval(),
            (audio,),
            dynamo=True,
            opset_version=options.opset,
            input_names=[contract.AUDIO.name],
            output_names=list(OUTPUTS),
            dynamic_shapes={"audio": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
            verbose=False,
        )
    if program is None:
        raise ExportError(
            "torch.onnx.export returned nothing; this needs torch ≥ 2.9 and its dynamo exporter"
        )
    forget_origin(program.model)
    return program.model


def _write(graph: onnx_ir.Model, path: Path, data_name: str | None) -> None:
    """Writes into a folder of its own beside `path`, checks, then moves the data file before the model."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            new = Path(folder) / path.name
            onnx_ir.save(graph, new, external_data=data_name)
            onnx.checker.check_model(str(new))
            if data_name:
                os.replace(new.with_name(data_name), path.with_name(data_name))
            os.replace(new, path)
    except OSError as error:
        raise ExportError(_explain(path, error)) from error
    for stale in path.parent.glob(f"{path.stem}.*.data"):
        if stale.name != data_name:
            stale.unlink()


def _explain(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"{path}: no space left on its disk; free some or choose another folder"
    return (
        f"{path}: cannot be written ({error.strerror or error}); choose a folder that exists and is writable"
    )


def _require_space(folder: Path, model_bytes: int) -> None:
    needed = model_bytes + model_bytes // 20 + 2**24
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ExportError(_explain(folder, error)) from error
    if free < needed:
        raise ExportError(
            f"{folder}: {free:,} bytes free, {needed:,} needed; free some or choose another folder"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `affectstream-models export`."""
    parser.description = "Write a MERaLiON-SER checkpoint as an ONNX graph whose types say its precision."
    parser.add_argument("out", type=Path, help="the .onnx file to write")
    parser.add_argument(
        "--checkpoint", default=HUB_ID, help="folder, .safetensors file or hub id (%(default)s)"
    )
    parser.add_argument("--revision", default=PINNED_REVISION, help="commit on the hub (%(default)s)")
    parser.add_argument(
        "--precision", choices=sorted(PRODUCT_DTYPES), default="float32", help="of the encoder"
    )
    parser.add_argument(
        "--audio",
        choices=sorted(_AUDIO_DTYPES),
        default="int16",
        help="type of AUDIO; TensorRT needs float32",
    )
    parser.add_argument("--opset", type=int, default=OPSET, help=f"{OLDEST_OPSET}..{OPSET} (%(default)s)")


def run(args: argparse.Namespace, say: Callable[[str], Any] = sys.stderr.write) -> int:
    """Loads, exports and names what was written; errors rise as `ModelsError`."""
    say(f"reading {args.checkpoint}\n")
    model = MeralionSer.from_checkpoint(args.checkpoint, revision=args.revision)
    say(f"exporting at {args.precision}: half a minute to two\n")
    options = ExportOptions(precision=args.precision, audio=args.audio, opset=args.opset)
    export(model, args.out, options)
    say(f"wrote {args.out}\n")
    return 0
