"""What an exported graph must not hold: where on whose machine it was made."""

from __future__ import annotations

import onnx_ir


def forget_origin(model: onnx_ir.Model) -> None:
    """Drop the exporter's notes on every node and value: source files, lines, stack traces."""
    graphs: list[onnx_ir.Graph | onnx_ir.Function] = [model.graph, *model.functions.values()]
    for graph in graphs:
        graph.metadata_props.clear()
        for node in onnx_ir.traversal.RecursiveGraphIterator(graph):
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()
