"""An ONNX model of the contract that says the same of whatever it hears; written without the onnx package."""

from __future__ import annotations

import numpy as np

from affectstream.contract import (
    AUDIO,
    DIMS,
    EMBEDDING,
    EMOTIONS,
    LOGITS,
    METADATA_PREFIX,
    NUM_SAMPLES,
)

_FLOAT, _INT16, _INT32 = 1, 5, 6
_METADATA = {
    "name": "constant",
    "version": "1",
    "labels": ",".join(EMOTIONS[:4]),
    "dimensions": "arousal",
    "sample_rate_hz": "16000",
    "max_samples": "480000",
    "calibrated": "false",
}


def constant_model(embedding_size: int = 2) -> bytes:
    """The file's content: four labels and arousal."""
    outputs = {LOGITS.name: [0.1, 0.2, 0.3, 0.4], DIMS.name: [0.5], EMBEDDING.name: [0.0] * embedding_size}
    graph = _field(2, b"constant")
    for name, element in ((AUDIO.name, _INT16), (NUM_SAMPLES.name, _INT32)):
        graph += _field(11, _value(name, element, [_field(2, b"B"), _field(2, name.encode())]))
    for name, values in outputs.items():
        held = b"held_" + name.encode()
        shape = _number(1, 1) + _number(1, len(values))
        data = _field(9, np.array(values, "<f4").tobytes())
        graph += _field(5, shape + _number(2, _FLOAT) + _field(8, held) + data)
        graph += _field(1, _field(1, held) + _field(2, name.encode()) + _field(4, b"Identity"))
        graph += _field(12, _value(name, _FLOAT, [_number(1, 1), _number(1, len(values))]))
    model = _number(1, 8) + _field(7, graph) + _field(8, _number(2, 17))
    for key, text in _METADATA.items():
        model += _field(14, _field(1, (METADATA_PREFIX + key).encode()) + _field(2, text.encode()))
    return model


def _value(name: str, element: int, sizes: list[bytes]) -> bytes:
    shape = b"".join(_field(1, size) for size in sizes)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, element) + _field(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
