"""The encoder against transformers' WhisperEncoder with the same random weights."""

from __future__ import annotations

import pytest
import torch

from affectstream_models.meralion_config import MeralionConfig
from tests.models.meralion.helpers import SMALL, lively

transformers = pytest.importorskip("transformers", reason="needs transformers==5.23.0 beside torch")


def theirs(config: MeralionConfig, weights: dict[str, torch.Tensor], mel: torch.Tensor) -> torch.Tensor:
    settings = transformers.WhisperConfig(
        num_mel_bins=config.mel_bands,
        d_model=config.width,
        encoder_layers=config.layers,
        encoder_attention_heads=config.heads,
        encoder_ffn_dim=config.feed_forward,
        max_source_positions=config.frames,
    )
    with torch.device("meta"):
        encoder = transformers.models.whisper.modeling_whisper.WhisperEncoder(settings).eval()
    encoder.load_state_dict(weights, strict=True, assign=True)
    states: torch.Tensor = encoder(mel).last_hidden_state
    return states


@pytest.mark.timeout(300)
@pytest.mark.parametrize("config", [SMALL, MeralionConfig()], ids=["small", "published size"])
def test_hidden_states_are_whispers(config: MeralionConfig) -> None:
    encoder = lively(config).whisper.encoder
    mel = torch.rand(1, config.mel_bands, 2 * config.frames) * 2 - 0.5
    with torch.inference_mode():
        states = encoder(mel)
        reference = theirs(config, encoder.state_dict(), mel)
    assert reference.std() > 0.5, "the comparison needs states that say something"
    assert (states - reference).abs().max() < 1e-4
