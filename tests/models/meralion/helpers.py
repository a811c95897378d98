"""What these tests share: small networks with lively random weights, and checkpoints made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from affectstream.contract import EMOTIONS
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_config import MeralionConfig

Samples = npt.NDArray[np.int16]

SMALL = MeralionConfig(
    width=32,
    layers=2,
    heads=4,
    feed_forward=64,
    frames=50,
    channels=64,
    squeeze=8,
    embedding=32,
    kernel_groups=8,
)
"""One second of audio through some 100,000 parameters."""

CONFIG_JSON: Mapping[str, object] = {
    "id2label": {str(index): label for index, label in enumerate(EMOTIONS)},
    "num_emotions": 7,
    "whisper_name": "openai/whisper-medium",
}
PREPROCESSOR_JSON: Mapping[str, object] = {
    "feature_size": 80,
    "n_fft": 400,
    "hop_length": 160,
    "sampling_rate": 16_000,
    "feature_extractor_type": "WhisperFeatureExtractor",
}


def lively(config: MeralionConfig | None = None, seed: int = 0) -> MeralionSer:
    """A network with random weights under which different audio gives clearly different answers.

    torch's own initialisation shrinks every layer's output, so that an untrained network says
    nearly the same of everything, and a test of equality passes by itself.
    """
    with torch.device("meta"):
        model = MeralionSer(config)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _random(name, tensor.shape, generator) for name, tensor in model.state_dict().items()}
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.requires_grad_(requires_grad=False)


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        return noise.mul_(0.1).add_(1.0 if name.endswith("weight") else 0.0)
    return noise.mul_(0.02 if "embed_positions" in name else shape[1:].numel() ** -0.5)


def with_decoder(model: MeralionSer) -> dict[str, torch.Tensor]:
    """What a published file would hold: the network's tensors, and a decoder that nobody uses."""
    decoder = {
        "whisper.decoder.embed_tokens.weight": torch.ones(11, 32),
        "whisper.decoder.layers.0.fc1.weight": torch.ones(64, 32),
        "proj_out.weight": torch.ones(11, 32),
    }
    return model.state_dict() | decoder


def save_checkpoint(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    config: Mapping[str, object] = CONFIG_JSON,
    preprocessor: Mapping[str, object] | None = PREPROCESSOR_JSON,
) -> Path:
    """Writes a checkpoint folder as the hub would give it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def cut(audio: Samples, rows: int, samples: int) -> Samples:
    """Consecutive stretches of a recording, `[rows, samples]`."""
    return audio[: rows * samples].reshape(rows, samples)
