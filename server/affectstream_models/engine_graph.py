"""What an engine's graph must be before a builder sees it: its tensors, operators, types and shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto

from affectstream import contract
from affectstream_models.errors import ModelsError
from affectstream_models.export import OUTPUTS

BATCHES: Final = (1, 8, 32)
"""Batch sizes that an engine has a profile for."""

_OPERATORS: Final = (
    "Add Cast Clip Concat Conv Div Erf Gelu Gemm GroupNormalization InstanceNormalization "
    "LayerNormalization Log MatMul Max Mul Pad Pow Reciprocal ReduceMax ReduceMean ReduceSum Relu Reshape "
    "Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Transpose Unsqueeze"
)
OPERATORS: Final = frozenset(_OPERATORS.split())
"""Operators that a graph may use. Each is in the support matrix of TensorRT's ONNX parser, for the
types it has here (read for 10.0 and 10.15, which take opsets up to 20 and 24)."""

_FLOAT32_ONLY: Final = frozenset(
    {"LayerNormalization", "GroupNormalization", "InstanceNormalization", "Log", "Pow", "Reciprocal", "Sqrt"}
)
_LARGE_ELEMENTS: Final = 1_024
"""Weights beyond this say nothing of shapes; copying a gigabyte of them at every batch size takes minutes."""

_AUDIO_TYPES: Final = {TensorProto.INT16: "int16", TensorProto.FLOAT: "float32"}


class GraphError(ModelsError):
    """A graph that must not become an engine: one line with the node or tensor, and what to do."""


@dataclass(frozen=True, slots=True)
class CastNode:
    """One change of type in a graph."""

    node: str
    tensor: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a checked graph says of itself."""

    precision: str
    audio: str
    window_samples: int
    source_sha256: str
    metadata: dict[str, str]


def check(path: Path) -> Facts:
    """Runs every check that needs no builder; returns what the graph says of itself.

    Raises:
        GraphError: for the first check that fails.
    """
    if not path.is_file():
        raise GraphError(f"{path}: no such file; write it with `affectstream-models export`")
    try:
        onnx.checker.check_model(str(path))
        graph = load(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise GraphError(f"{path}: not a valid ONNX file ({reason}); export it again") from error
    facts = _facts(path, graph)
    _check_tensors(path, graph, facts)
    _check_operators(path, graph)
    _check_types(path, graph)
    for batch in BATCHES:
        _check_shapes(path, graph, batch, facts)
    return facts


def load(path: Path) -> onnx.ModelProto:
    """The graph without its large weights, whose types and shapes remain: all that is looked at here."""
    graph = onnx.load(path, load_external_data=False)
    for tensor in graph.graph.initializer:
        if math.prod(tensor.dims) > _LARGE_ELEMENTS:
            tensor.ClearField("raw_data")
    return graph


def infer(graph: onnx.ModelProto, batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes of every tensor at one batch size; a dimension that cannot be known is −1."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    symbol = fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*fixed.graph.input, *fixed.graph.value_info, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == symbol:
                dim.dim_value = batch
    inferred = onnx.shape_inference.infer_shapes(fixed, check_type=True, strict_mode=True, data_prop=True)
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim
        )
        for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    }


def casts(graph: onnx.ModelProto) -> list[CastNode]:
    """Every Cast of the graph in its order: in a strongly typed network, all that changes precision."""
    types = element_types(graph)
    return [
        CastNode(node.name, node.input[0], _name(types.get(node.input[0], 0)), _name(types[node.output[0]]))
        for node in graph.graph.node
        if node.op_type == "Cast"
    ]


def element_types(graph: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor by name, as `TensorProto.DataType`."""
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True)
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.graph.initializer}


def _facts(path: Path, graph: onnx.ModelProto) -> Facts:
    said = {item.key: item.value for item in graph.metadata_props}
    prefix = contract.METADATA_PREFIX
    expected = {"labels": ",".join(contract.EMOTIONS), "dimensions": ",".join(contract.DIMENSIONS)}
    expected["sample_rate_hz"] = str(contract.SAMPLE_RATE_HZ)
    for key in (*contract.METADATA_KEYS, "window_samples", "source_sha256", "precision", "audio"):
        value = said.get(prefix + key)
        if value is None or value != expected.get(key, value):
            wanted = expected.get(key, "a value")
            raise GraphError(
                f"{path}: metadata {prefix + key} is {value!r}, expected {wanted}; export it again"
            )
    return Facts(
        precision=said[prefix + "precision"],
        audio=said[prefix + "audio"],
        window_samples=int(said[prefix + "window_samples"]),
        source_sha256=said[prefix + "source_sha256"],
        metadata=said,
    )


def _check_tensors(path: Path, graph: onnx.ModelProto, facts: Facts) -> None:
    inputs = [(value.name, _AUDIO_TYPES.get(value.type.tensor_type.elem_type)) for value in graph.graph.input]
    if inputs != [(contract.AUDIO.name, facts.audio)]:
        raise GraphError(
            f"{path}: inputs are {inputs}, expected {contract.AUDIO.name} of {facts.audio} alone"
        )
    outputs = tuple(value.name for value in graph.graph.output)
    if outputs != OUTPUTS:
        raise GraphError(f"{path}: outputs are {', '.join(outputs)}, expected {', '.join(OUTPUTS)}")


def _check_operators(path: Path, graph: onnx.ModelProto) -> None:
    for node in _nodes(graph):
        if node.domain or node.op_type not in OPERATORS:
            raise GraphError(
                f"{path}: node {node.name} is {node.domain}{node.op_type}, not among the checked operators; "
                "export with the torch and onnxscript versions of constraints/models.txt"
            )


def _check_types(path: Path, graph: onnx.ModelProto) -> None:
    """Norms, logarithm and outputs in float32, whatever the products are in."""
    types = element_types(graph)
    for node in _nodes(graph):
        if node.op_type in _FLOAT32_ONLY and types[node.output[0]] != TensorProto.FLOAT:
            raise GraphError(
                f"{path}: node {node.name} computes {node.op_type} in {_name(types[node.output[0]])}, "
                "expected FLOAT; export it again"
            )
    for name in OUTPUTS:
        if types[name] != TensorProto.FLOAT:
            raise GraphError(
                f"{path}: output {name} is {_name(types[name])}, expected FLOAT; export it again"
            )


def _check_shapes(path: Path, graph: onnx.ModelProto, batch: int, facts: Facts) -> None:
    shapes = infer(graph, batch)
    expected = {
        contract.AUDIO.name: (batch, facts.window_samples),
        contract.LOGITS.name: (batch, len(contract.EMOTIONS)),
        contract.DIMS.name: (batch, len(contract.DIMENSIONS)),
    }
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise GraphError(
                f"{path}: {name} is {shapes[name]} at batch {batch}, expected {shape}; export it again"
            )
    unknown = [name for name, shape in shapes.items() if -1 in shape]
    if unknown:
        raise GraphError(f"{path}: the shape of {unknown[0]} is not known at batch {batch}; export it again")


def _nodes(graph: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from graph.graph.node


def _name(element_type: int) -> str:
    return str(TensorProto.DataType.Name(element_type))
