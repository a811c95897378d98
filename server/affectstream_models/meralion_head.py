"""The head between encoder and outputs: Res2 blocks, attentive pooling at many scales, embedding.

All of it is float32 whatever the encoder computes in: it holds 6 of the 313 million parameters,
and its softmaxes over 1,500 frames and its norms are where low precision is heard. Dropout is an
identity here, which keeps the published numbering of the layers.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from affectstream_models.meralion_config import MeralionConfig

_HIDDEN_OF_SCALE_WEIGHTS = 256


class Res2(nn.Module):
    """Convolutions in a cascade over channel chunks: chunk i sees its input and the output of chunk i − 1."""

    def __init__(self, config: MeralionConfig, dilation: int) -> None:
        super().__init__()
        width = config.channels // config.chunks
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, kernel_size=3, padding=dilation, dilation=dilation)
            for _ in range(config.chunks - 1)
        )
        self.norm = nn.GroupNorm(config.norm_groups, config.channels)

    def forward(self, x: Tensor) -> Tensor:
        first, second, *rest = x.chunk(len(self.convs) + 1, dim=1)
        done = [first, self.convs[0](second)]
        for conv, chunk in zip(self.convs[1:], rest, strict=True):
            done.append(conv(chunk + done[-1]))
        return functional.relu(self.norm(torch.cat(done, dim=1)))


class SqueezeExcite(nn.Module):
    """Scales each channel by what its mean over time says."""

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Conv1d(config.channels, config.squeeze, kernel_size=1, bias=False),
            nn.ReLU(),
            nn.Conv1d(config.squeeze, config.channels, kernel_size=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = x * self.fc(x.mean(dim=2, keepdim=True))
        return scaled


class Block(nn.Module):
    """1×1 → Res2 → squeeze-excite → 1×1, with its input added before the last ReLU."""

    def __init__(self, config: MeralionConfig, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(config.channels, config.channels, kernel_size=1)
        self.norm1 = nn.GroupNorm(config.norm_groups, config.channels)
        self.res2 = Res2(config, dilation)
        self.se = SqueezeExcite(config)
        self.conv2 = nn.Conv1d(config.channels, config.channels, kernel_size=1)
        self.norm2 = nn.GroupNorm(config.norm_groups, config.channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(x)))
        inner = self.norm2(self.conv2(self.se(self.res2(inner))))
        return functional.relu(inner + x)


def _attend(score: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Attention pooling of `[B, C, T]`: the weighted sum `[B, C]` and its weights `[B, T]`."""
    weights = torch.softmax(score(x.transpose(1, 2)), dim=1)
    return (x @ weights).squeeze(2), weights.squeeze(2)


class MultiScale(nn.Module):
    """Attention pooling behind grouped convolutions of several widths, mixed by learned weights.

    `[B, C, T]` → pooled `[B, C]` and frame attention `[B, T]`.
    """

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        channels, hidden = config.channels, _HIDDEN_OF_SCALE_WEIGHTS
        self.resolution_convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=config.kernel_groups)
            for kernel in config.kernels
        )
        self.resolution_weight_net = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, len(config.kernels))
        )
        self.resolution_attentions = nn.ModuleList(nn.Linear(channels, 1) for _ in config.kernels)
        self.final_proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shares = torch.softmax(self.resolution_weight_net(x.mean(dim=2)), dim=1)
        pooled, attention = [], []
        for conv, score in zip(self.resolution_convs, self.resolution_attentions, strict=True):
            summed, weights = _attend(score, conv(x))
            pooled.append(summed)
            attention.append(_onto_frames(weights, x.shape[2]))
        mixed = _mix(pooled, shares)
        return self.final_proj(mixed), _mix(attention, shares)


class Segment(nn.Module):
    """Attention pooling at several levels, frames averaged in pairs from level to level.

    `[B, C, T]` → pooled `[B, C]` and frame attention `[B, T]`.
    """

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        self.level_attentions = nn.ModuleList(nn.Linear(config.channels, 1) for _ in range(config.levels))
        self.combiner = nn.Linear(config.channels * config.levels, config.channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        frames = x.shape[2]
        pooled, attention = [], []
        for level, score in enumerate(self.level_attentions):
            if level:
                x = _halve(x)
            summed, weights = _attend(score, x)
            pooled.append(summed)
            attention.append(_spread(weights, 2**level, frames))
        return self.combiner(torch.cat(pooled, dim=1)), torch.stack(attention).mean(dim=0)


class Pooling(nn.Module):
    """Both poolings side by side: `[B, C, T]` → pooled `[B, C]` and frame attention `[B, T]`.

    The frame attention is the mean of the two poolings' own weights, each of which sums to 1
    over the frames: the multi-scale weights mixed by the learned shares of the scales, and the
    mean of the segment levels. A scale of even width has one position more than there are
    frames; each of its positions lies between two frames and counts half for either.
    """

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        self.multiscale = MultiScale(config)
        self.segment = Segment(config)
        self.combiner = nn.Linear(2 * config.channels, config.channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        by_scale, scale_attention = self.multiscale(x)
        by_level, level_attention = self.segment(x)
        pooled = self.combiner(torch.cat([by_scale, by_level], dim=1))
        return pooled, (scale_attention + level_attention) / 2


class Head(nn.Module):
    """Encoder states float32 `[B, T, width]` → embedding `[B, 256]` and frame attention `[B, T]`."""

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        channels = config.channels
        self.proj_in = _projection(config.width, channels)
        self.blocks = nn.ModuleList(Block(config, dilation) for dilation in config.dilations)
        self.mfa = nn.Sequential(
            nn.Conv1d(channels * (1 + len(config.dilations)), channels, kernel_size=1),
            nn.GroupNorm(config.norm_groups, channels),
            nn.GELU(),
        )
        self.pooling = Pooling(config)
        self.embed = nn.Sequential(
            *_projection(channels, channels),
            *_projection(channels, config.embedding),
        )

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        features = [self.proj_in(states).transpose(1, 2)]
        for block in self.blocks:
            features.append(block(features[-1]))
        pooled, attention = self.pooling(self.mfa(torch.cat(features, dim=1)))
        return self.embed(pooled), attention


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.GELU(), nn.Identity())


def _halve(x: Tensor) -> Tensor:
    """Means of pairs of frames, an odd last frame left out: slices, as TensorRT pools in 2-D and 3-D only."""
    pairs = x.shape[2] // 2
    return (x[:, :, 0 : 2 * pairs : 2] + x[:, :, 1 : 2 * pairs : 2]) / 2


def _mix(parts: Iterable[Tensor], shares: Tensor) -> Tensor:
    """Sum of `[B, N]` parts, each by its column of `shares` `[B, parts]`."""
    return (torch.stack(list(parts), dim=1) * shares.unsqueeze(2)).sum(dim=1)


def _onto_frames(weights: Tensor, frames: int) -> Tensor:
    """Weights of `frames` or `frames + 1` positions as weights of frames, the sum unchanged."""
    if weights.shape[1] == frames:
        return weights
    half = weights / 2
    left, right = half[:, :-1], half[:, 1:]
    return (
        left
        + right
        + functional.pad(half[:, :1], (0, frames - 1))
        + functional.pad(half[:, -1:], (frames - 1, 0))
    )


def _spread(weights: Tensor, width: int, frames: int) -> Tensor:
    """Each weight in equal parts over the `width` frames it covers, `[B, n]` → `[B, frames]`."""
    if width == 1:
        return weights
    spread = torch.stack([weights / width] * width, dim=2).flatten(1)
    return functional.pad(spread, (0, frames - spread.shape[1]))
