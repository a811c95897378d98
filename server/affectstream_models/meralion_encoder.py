"""Whisper's encoder in plain torch, with the published parameter names.

Weights of products (Linear, Conv1d) may be float32, bfloat16 or float16; the residual stream,
every LayerNorm and the positions stay float32. A residual stream in float16 overflows silently
in Whisper, and one in bfloat16 loses what its few large channels leave to the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from affectstream_models.meralion_config import MeralionConfig


class SelfAttention(nn.Module):
    """Multi-head attention over all frames, without a mask: `[B, T, width]` → the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._split(projected) for projected in (self.q_proj(x), self.k_proj(x), self.v_proj(x)))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(-1, x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)


class EncoderLayer(nn.Module):
    """One pre-norm transformer layer on a float32 residual stream `[B, T, width]`."""

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, config.feed_forward)
        self.fc2 = nn.Linear(config.feed_forward, config.width)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        compute = self.fc1.weight.dtype
        x = x + self.self_attn(self.self_attn_layer_norm(x).to(compute)).to(torch.float32)
        hidden = functional.gelu(self.fc1(self.final_layer_norm(x).to(compute)))
        out: Tensor = x + self.fc2(hidden).to(torch.float32)
        return out


class Encoder(nn.Module):
    """Log-mel float32 `[B, mel_bands, 2·frames]` → float32 `[B, frames, width]`, the last hidden state."""

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(config.mel_bands, config.width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, kernel_size=3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.frames, config.width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.layer_norm = nn.LayerNorm(config.width)

    def forward(self, mel: Tensor) -> Tensor:
        x = functional.gelu(self.conv1(mel.to(self.conv1.weight.dtype)))
        x = functional.gelu(self.conv2(x)).transpose(1, 2).to(torch.float32)
        x = x + self.embed_positions.weight
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.layer_norm(x)
        return out

    def set_product_dtype(self, dtype: torch.dtype) -> None:
        """Holds the weights of every product in `dtype` and leaves all else in float32."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                module.to(dtype)
