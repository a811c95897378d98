"""Model files: exported to ONNX, stamped with the contract's metadata, written whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from affectstream.contract import (
    AUDIO,
    DIMS,
    EMBEDDING,
    LIMITS,
    LOGITS,
    METADATA_KEYS,
    METADATA_PREFIX,
    NUM_SAMPLES,
    SAMPLE_RATE_HZ,
)
from affectstream_models.card import CARD_FILE, MODEL_FILE, Card
from affectstream_models.embedded import EmbeddedModel
from affectstream_models.errors import ModelsError
from affectstream_models.exported import forget_origin
from affectstream_models.files import write_atomically

OPSET = 18
MIN_SAMPLES = 1_600
MAX_SAMPLES = LIMITS.utterance_ms * SAMPLE_RATE_HZ // 1000


def export(model: EmbeddedModel) -> onnx.ModelProto:
    """The model as one ONNX graph with a dynamic batch and length."""
    audio = torch.zeros(2, SAMPLE_RATE_HZ, dtype=torch.int16)
    num_samples = torch.full((2, 1), SAMPLE_RATE_HZ, dtype=torch.int32)
    batch = torch.export.Dim("batch", min=1)
    samples = torch.export.Dim("samples", min=MIN_SAMPLES, max=MAX_SAMPLES)
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        # The exporter warns of its own deprecated calls and of packages that this graph does not use.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(),
            (audio, num_samples),
            input_names=[AUDIO.name, NUM_SAMPLES.name],
            output_names=[LOGITS.name, DIMS.name, EMBEDDING.name],
            dynamic_shapes=({0: batch, 1: samples}, {0: batch}),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelsError("this torch does not export programs; 2.9 or newer does")
    forget_origin(program.model)
    proto: onnx.ModelProto = program.model_proto
    return proto


@contextmanager
def _quiet(logger_name: str) -> Iterator[None]:
    logger = logging.getLogger(logger_name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def weights_sha256(model: onnx.ModelProto) -> str:
    """Digest over every constant of the graph by name, type, shape and bytes, in order of name."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda item: item.name):
        values = np.ascontiguousarray(numpy_helper.to_array(tensor))
        digest.update(f"{tensor.name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def metadata(card: Card) -> dict[str, str]:
    """What the model file says of itself, by the contract's keys."""
    said = {
        "name": card.name,
        "version": card.version,
        "labels": ",".join(card.labels),
        "dimensions": ",".join(card.dimensions),
        "sample_rate_hz": str(card.sample_rate_hz),
        "max_samples": str(card.max_samples),
        "calibrated": "true",
        "card_sha256": card.sha256(),
    }
    return {METADATA_PREFIX + key: said[key] for key in METADATA_KEYS}


def stamp(model: onnx.ModelProto, properties: Mapping[str, str]) -> None:
    """Replaces the model's metadata."""
    del model.metadata_props[:]
    for key, value in properties.items():
        model.metadata_props.add(key=key, value=value)


def save(folder: Path, model: onnx.ModelProto, card: Card) -> None:
    """Model and card into `folder`, the card last, each whole or not at all."""
    stamp(model, metadata(card))
    onnx.checker.check_model(model, full_check=True)
    write_atomically(folder / MODEL_FILE, model.SerializeToString(deterministic=True))
    write_atomically(folder / CARD_FILE, card.to_toml().encode())
