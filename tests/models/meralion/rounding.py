"""Runs a bf16 or fp16 graph on a CPU that has no such products: in float32, each result rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from affectstream import contract
from affectstream_models.engine_graph import element_types
from tests.models.meralion.helpers import Samples

_LOW = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


def run_rounded(path: Path, audio: Samples) -> dict[str, Any]:
    """Every output by name; onnxruntime's own rewriting is off, as it would remove the rounding."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.intra_op_num_threads = 2
    model = rounded(onnx.load(path))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {contract.AUDIO.name: audio.astype(np.float32)}), strict=True))


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with every low-precision tensor held in float32 and rounded where it arises."""
    types = element_types(model)
    graph = model.graph
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast":
            nodes += _rounding(node.input[0], node.output[0], _target(node)) or [node]
            continue
        nodes.append(node)
        for index, name in enumerate(node.output):
            low = types.get(name, 0)
            if low in _LOW:
                node.output[index] = f"{name}.exact"
                nodes += _rounding(node.output[index], name, low)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for tensor in graph.initializer:
        if tensor.data_type in _LOW:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


def _target(node: onnx.NodeProto) -> int:
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "to")


def _rounding(source: str, target: str, low: int) -> list[onnx.NodeProto]:
    if low not in _LOW:
        return [helper.make_node("Identity", [source], [target])]
    inner = f"{target}.low"
    return [
        helper.make_node("Cast", [source], [inner], to=low),
        helper.make_node("Cast", [inner], [target], to=TensorProto.FLOAT),
    ]
