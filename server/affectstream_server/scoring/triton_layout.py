"""What a loaded model says of itself, held against the contract before it is trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import (
    ATTENTION_FRAME_SAMPLES,
    AUDIO,
    BUCKETS_SAMPLES,
    DIMENSIONS,
    DIMS,
    EMBEDDING,
    EMOTIONS,
    FRAME_ATTENTION,
    LOGITS,
    METADATA_PREFIX,
    NUM_SAMPLES,
    Tensor,
)
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.stages.decode import Samples

_AUDIO_TYPES: Final[Mapping[str, type[np.generic]]] = {"TYPE_INT16": np.int16, "TYPE_FP32": np.float32}
_ANY: Final = -1


class ContractMismatch(Exception):
    """A loaded model that is not what the contract says; the message names what, and what is expected."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an utterance becomes a model's input tensors, and which it answers with."""

    audio_type: str
    """INT16 or FP32; full scale is ±32,768 in both."""
    fixed_samples: int
    """The one length that the model takes; 0: any, padded to a bucket."""
    has_attention: bool = False
    """It has FRAME_ATTENTION."""

    def padded_samples(self, samples: int) -> int:
        """The length of AUDIO for so many samples."""
        return self.fixed_samples or next(size for size in BUCKETS_SAMPLES if size >= samples)

    def outputs(self, *, attention: bool) -> tuple[str, ...]:
        """What to ask for; with ``attention`` FRAME_ATTENTION, too, where there is one."""
        wanted = (LOGITS, DIMS, EMBEDDING, *((FRAME_ATTENTION,) if attention and self.has_attention else ()))
        return tuple(tensor.name for tensor in wanted)

    def tensors(self, audio: Samples) -> list[tuple[str, str, NDArray[Any]]]:
        """Name, type and values ``[1, …]`` of every input for int16 ``[n]``, padded with zeros."""
        padded = np.zeros((1, self.padded_samples(len(audio))), _AUDIO_TYPES[f"TYPE_{self.audio_type}"])
        padded[0, : len(audio)] = audio
        tensors: list[tuple[str, str, NDArray[Any]]] = [(AUDIO.name, self.audio_type, padded)]
        if not self.fixed_samples:
            count = np.array([[len(audio)]], np.int32)
            tensors.append((NUM_SAMPLES.name, NUM_SAMPLES.dtype, count))
        return tensors


def parameters_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a configuration as plain strings."""
    return {key: str(value.get("string_value", "")) for key, value in config.get("parameters", {}).items()}


def frames_of(samples: int) -> int:
    """How many values of FRAME_ATTENTION so many samples have."""
    return -(-samples // ATTENTION_FRAME_SAMPLES)


def layout_of(config: Mapping[str, Any]) -> Layout:
    """How a model's inputs are to be filled, and what it can be asked for. Raises `ContractMismatch`."""
    inputs = _by_name(config, "input")
    dtype, length = _of(inputs, AUDIO)
    if dtype not in _AUDIO_TYPES:
        raise ContractMismatch(f"{AUDIO.name} is {dtype}, expected one of {', '.join(_AUDIO_TYPES)}")
    known = {AUDIO.name, NUM_SAMPLES.name} if length == _ANY else {AUDIO.name}
    if length == _ANY and _of(inputs, NUM_SAMPLES) != (f"TYPE_{NUM_SAMPLES.dtype}", 1):
        raise ContractMismatch(f"{NUM_SAMPLES.name} is not {NUM_SAMPLES.dtype} [1]")
    if not known >= set(inputs):
        raise ContractMismatch(f"it wants {', '.join(sorted(set(inputs) - known))}, which nobody has")
    if int(config.get("max_batch_size", 0)) < 1:
        raise ContractMismatch("max_batch_size is 0, expected 1 or more: every tensor has a batch axis")
    return Layout(dtype.removeprefix("TYPE_"), max(0, length), _has_attention(config, length))


def model_of(config: Mapping[str, Any], version: str, labels: Sequence[str]) -> ModelInfo:
    """The model that a configuration and Triton's own ``labels`` describe. Raises `ContractMismatch`."""
    said = {key.removeprefix(METADATA_PREFIX): value for key, value in parameters_of(config).items()}
    sizes = output_sizes(config)
    written = tuple(said["labels"].split(",")) if "labels" in said else tuple(labels)
    if tuple(labels) != written:
        raise ContractMismatch(f"labels.txt says {','.join(labels)}, the parameters {','.join(written)}")
    if "dimensions" in said:
        dimensions = tuple(filter(None, said["dimensions"].split(",")))
    else:
        dimensions = DIMENSIONS if sizes[DIMS.name] == len(DIMENSIONS) else ()
    for what, tensor, names, known in (
        ("labels", LOGITS, tuple(labels), EMOTIONS),
        ("dimensions", DIMS, dimensions, DIMENSIONS),
    ):
        if names != tuple(name for name in known if name in names):
            raise ContractMismatch(
                f"{what} are {','.join(names)}; expected some of {','.join(known)} in order"
            )
        if len(names) != sizes[tensor.name]:
            raise ContractMismatch(f"{tensor.name} has {sizes[tensor.name]} values for {len(names)} {what}")
    try:
        return ModelInfo(
            name=said.get("name", str(config.get("name", ""))),
            version=said.get(f"version.{version}", version),
            labels=tuple(labels),
            dimensions=dimensions,
            digest=said.get(f"sha256.{version}", ""),
            precision=said.get("precision", ""),
            max_samples=layout_of(config).fixed_samples or int(said.get("max_samples", BUCKETS_SAMPLES[-1])),
            calibrated=said.get("calibrated") == "true",
            embedding_size=sizes[EMBEDDING.name],
            abstain_below={
                label: float(least) for label, least in json.loads(said.get("abstain_below", "{}")).items()
            },
            min_snr_db=float(said["min_snr_db"]) if "min_snr_db" in said else None,
            min_speech_ms=int(said.get("min_speech_ms", 0)),
        )
    except (ValueError, TypeError, AttributeError):
        raise ContractMismatch("a parameter of its configuration cannot be read") from None


def output_sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """Values in each of the contract's outputs. Raises `ContractMismatch`."""
    outputs = _by_name(config, "output")
    sizes = {}
    for tensor in (LOGITS, DIMS, EMBEDDING):
        dtype, size = _of(outputs, tensor)
        if dtype != f"TYPE_{tensor.dtype}" or size < 1:
            raise ContractMismatch(
                f"{tensor.name} is {dtype} [{size}], expected {tensor.dtype} of known size"
            )
        sizes[tensor.name] = size
    return sizes


def _has_attention(config: Mapping[str, Any], audio_samples: int) -> bool:
    outputs = _by_name(config, "output")
    if FRAME_ATTENTION.name not in outputs:
        return False
    expected = _ANY if audio_samples == _ANY else frames_of(audio_samples)
    dtype, frames = _of(outputs, FRAME_ATTENTION)
    if (dtype, frames) != (f"TYPE_{FRAME_ATTENTION.dtype}", expected):
        raise ContractMismatch(
            f"{FRAME_ATTENTION.name} is {dtype} [{frames}], expected {FRAME_ATTENTION.dtype} [{expected}]: "
            f"one value for each {ATTENTION_FRAME_SAMPLES} samples of {AUDIO.name}"
        )
    return True


def _by_name(config: Mapping[str, Any], side: str) -> dict[str, Any]:
    return {str(tensor["name"]): tensor for tensor in config.get(side, ())}


def _of(tensors: Mapping[str, Any], wanted: Tensor) -> tuple[str, int]:
    """Type and size of a tensor that must be there with one axis beside the batch."""
    found = tensors.get(wanted.name)
    if found is None:
        raise ContractMismatch(f"it has no tensor {wanted.name}; it has {', '.join(sorted(tensors))}")
    dims = [int(size) for size in found.get("dims", ())]
    if len(dims) != 1:
        raise ContractMismatch(f"{wanted.name} has shape {dims}, expected one axis")
    return str(found["data_type"]), dims[0]
