"""Everything about an engine's graph that can be proved without a builder."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon  # type: ignore[import-untyped]
import pytest
from onnx import TensorProto, helper

from affectstream import contract
from affectstream_models import engine_graph
from affectstream_models.engine_graph import GraphError, casts, check, element_types, infer
from tests.models.meralion.conftest import Exported
from tests.models.meralion.helpers import SMALL, Samples, cut
from tests.models.meralion.rounding import run_rounded

KINDS = ["float32", "fp16", "bf16"]
LOW = {"float32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


@pytest.mark.parametrize("precision", KINDS)
def test_a_graph_of_ours_passes_every_check(exported: Exported, precision: str) -> None:
    facts = check(exported(precision))
    assert (facts.precision, facts.audio) == (precision, "float32")
    assert facts.window_samples == SMALL.window_samples


@pytest.mark.parametrize("precision", KINDS)
@pytest.mark.parametrize("batch", [1, 8, 32])
def test_every_shape_is_known_at_each_profiles_batch(exported: Exported, precision: str, batch: int) -> None:
    shapes = infer(onnx.load(exported(precision)), batch)
    assert shapes["LOGITS"] == (batch, 7)
    assert shapes["DIMS"] == (batch, 3)
    assert shapes["EMBEDDING"] == (batch, SMALL.embedding)
    assert shapes["FRAME_ATTENTION"] == (batch, SMALL.frames)
    assert all(-1 not in shape for shape in shapes.values())


@pytest.mark.parametrize(("precision", "low"), [("fp16", "FLOAT16"), ("bf16", "BFLOAT16")])
def test_the_casts_are_two_a_product_block_and_no_more(exported: Exported, precision: str, low: str) -> None:
    """Into the stem and out of it, and into and out of attention and feed-forward of every layer."""
    found = casts(onnx.load(exported(precision)))
    down, up = ("FLOAT", low), (low, "FLOAT")
    assert [(cast.source, cast.target) for cast in found] == [down, up] * (1 + 2 * SMALL.layers)


def test_a_float32_graph_has_no_cast_but_of_the_audio(exported: Exported) -> None:
    assert casts(onnx.load(exported("float32"))) == []
    only = casts(onnx.load(exported("float32", "int16")))
    assert [(cast.tensor, cast.source, cast.target) for cast in only] == [("AUDIO", "INT16", "FLOAT")]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_low_precision_is_in_the_encoders_products_and_nowhere_else(
    exported: Exported, precision: str
) -> None:
    graph = onnx.load(exported(precision))
    types = element_types(graph)
    reduced = Counter(node.op_type for node in graph.graph.node if types[node.output[0]] == LOW[precision])
    products = 6 * SMALL.layers + 2 * SMALL.layers  # projections and feed-forward, then the two of attention
    assert reduced["MatMul"] == products
    assert reduced["Conv"] == 2
    assert reduced["Softmax"] == SMALL.layers
    assert reduced["Gelu"] == 2 + SMALL.layers
    assert not set(reduced) & {"LayerNormalization", "GroupNormalization", "Log", "Pow", "Gemm", "ReduceMean"}
    exact = Counter(node.op_type for node in graph.graph.node if types[node.output[0]] == TensorProto.FLOAT)
    assert exact["Softmax"] == 1 + len(SMALL.kernels) + SMALL.levels, "over frames and over scales"
    assert exact["LayerNormalization"] == 2 * SMALL.layers + 1 + 3


@pytest.mark.parametrize("precision", KINDS)
def test_weights_are_stored_in_the_precision_they_are_used_in(exported: Exported, precision: str) -> None:
    stored = {tensor.name: tensor.data_type for tensor in onnx.load(exported(precision)).graph.initializer}
    kinds = {
        name: kind for name, kind in stored.items() if "downstream_model" in name or "layer_norm" in name
    }
    assert set(kinds.values()) == {TensorProto.FLOAT}
    large = [
        tensor for tensor in onnx.load(exported(precision)).graph.initializer if "conv2.weight" in tensor.name
    ]
    assert [tensor.data_type for tensor in large if "encoder" in tensor.name] == [LOW[precision]]


@pytest.mark.parametrize("precision", KINDS)
def test_graphsurgeon_finds_nothing_dead_and_nothing_dangling(exported: Exported, precision: str) -> None:
    graph = onnx_graphsurgeon.import_onnx(onnx.load(exported(precision)))
    nodes = len(graph.nodes)
    graph.cleanup().toposort()
    assert len(graph.nodes) == nodes
    for tensor in graph.tensors().values():
        produced = bool(tensor.inputs) or tensor in graph.inputs
        assert produced or isinstance(tensor, onnx_graphsurgeon.Constant), tensor.name


@pytest.mark.timeout(120)
@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_polygraphy_lints_it_clean(exported: Exported, precision: str, tmp_path: Path) -> None:
    """bf16 is left out: the linter runs each node in onnxruntime, whose CPU has no bfloat16 products."""
    report = tmp_path / "lint.json"
    polygraphy = Path(sys.executable).with_name("polygraphy")
    command = [str(word) for word in (polygraphy, "check", "lint", exported(precision), "-o", report)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert '"level": "exception"' not in report.read_text()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_graph_computes_what_its_types_say(exported: Exported, talk: Samples, precision: str) -> None:
    """Every low-precision node in float32 with its result rounded, next to the float32 graph."""
    windows = cut(talk, 3, SMALL.window_samples)
    exact = run_rounded(exported("float32"), windows)
    rounded = run_rounded(exported(precision), windows)
    for name in (contract.LOGITS.name, contract.DIMS.name):
        assert 0 < np.abs(exact[name] - rounded[name]).max() < 0.1


def _another_op(graph: onnx.ModelProto) -> None:
    next(node for node in graph.graph.node if node.op_type == "Relu").op_type = "Softsign"


def _another_output(graph: onnx.ModelProto) -> None:
    graph.graph.output.pop()


def _other_labels(graph: onnx.ModelProto) -> None:
    for item in graph.metadata_props:
        if item.key == "affectstream.labels":
            item.value = "happy,neutral"


def _no_metadata(graph: onnx.ModelProto) -> None:
    del graph.metadata_props[:]


def _another_input(graph: onnx.ModelProto) -> None:
    graph.graph.input.append(helper.make_tensor_value_info("MASK", TensorProto.FLOAT, [1]))


def _other_window(graph: onnx.ModelProto) -> None:
    for item in graph.metadata_props:
        if item.key == "affectstream.window_samples":
            item.value = "480000"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_another_op, "is Softsign, not among the checked operators"),
        (
            _another_output,
            "outputs are LOGITS, DIMS, EMBEDDING, expected LOGITS, DIMS, EMBEDDING, FRAME_ATTENTION",
        ),
        (_other_labels, "metadata affectstream.labels is 'happy,neutral', expected neutral,happy"),
        (_no_metadata, "metadata affectstream.name is None, expected a value"),
        (_another_input, "inputs are .*MASK"),
        (_other_window, r"AUDIO is \(1, 16000\) at batch 1, expected \(1, 480000\)"),
    ],
)
def test_a_spoiled_graph_fails_by_name(
    exported: Exported, tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], says: str
) -> None:
    graph = onnx.load(exported("float32"))
    spoil(graph)
    path = tmp_path / "spoiled.onnx"
    onnx.save(graph, path)
    with pytest.raises(GraphError, match=says):
        check(path)


def test_a_norm_in_low_precision_fails_by_name(exported: Exported, tmp_path: Path) -> None:
    """The fp16 trap of Whisper: a LayerNorm that overflows silently."""
    graph = onnx.load(exported("fp16"))
    types = element_types(graph)
    log = next(node for node in graph.graph.node if node.op_type == "Log")
    position = list(graph.graph.node).index(log)
    down = helper.make_node("Cast", [log.input[0]], ["lowered"], name="lower", to=TensorProto.FLOAT16)
    up = helper.make_node("Cast", ["lowered_log"], [log.output[0]], name="raise", to=types[log.output[0]])
    log.input[0], log.output[0] = "lowered", "lowered_log"
    graph.graph.node.insert(position, down)
    graph.graph.node.insert(position + 2, up)
    path = tmp_path / "spoiled.onnx"
    onnx.save(graph, path)
    with pytest.raises(GraphError, match="computes Log in FLOAT16, expected FLOAT"):
        check(path)


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_file_that_is_no_graph_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match="not a valid ONNX file"):
        check(path)


def test_a_missing_graph_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="write it with `affectstream-models export`"):
        check(tmp_path / "model.onnx")


def test_operators_are_no_more_than_are_used(exported: Exported) -> None:
    kinds = [("float32", 18), ("float32", 22), ("fp16", 22), ("bf16", 22)]
    used = {node.op_type for kind in kinds for node in onnx.load(exported(kind[0], opset=kind[1])).graph.node}
    assert used == engine_graph.OPERATORS
