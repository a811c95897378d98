"""The frames of an utterance as one vector: timbre, its movement, melody and rhythm, whatever the length."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from affectstream_models.features import MEL_BANDS, masked_mean

CEPSTRA = 13
LEVELS = MEL_BANDS + 1
VOICED_ABOVE = 0.35

STATISTICS = MEL_BANDS + LEVELS * 3 + 6 + 6 + 2 * CEPSTRA + MEL_BANDS + 4
"""Timbre's mean, spread and its movement over 10 and 40 ms, melody, contour, cepstra, skewness, rhythm."""


class Statistics(nn.Module):
    """Frames to statistics, weighted by speech. Nothing here is trained."""

    cepstra: Tensor

    def __init__(self) -> None:
        super().__init__()
        order, band = np.arange(CEPSTRA)[:, None], np.arange(MEL_BANDS)
        cosines = np.cos(np.pi * order * (band + 0.5) / MEL_BANDS) / np.sqrt(MEL_BANDS / 2)
        self.register_buffer("cepstra", torch.tensor(cosines, dtype=torch.float32))

    def forward(self, features: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """float32 [B, LEVELS + 2, T], [B, 1, T], [B, 1, T] to [B, STATISTICS]."""
        levels = features[:, :LEVELS]
        log2_pitch, voicing = features[:, LEVELS : LEVELS + 1], features[:, LEVELS + 1 :]
        mel, level = levels[:, :-1], levels[:, -1:]
        voiced = weight * torch.sigmoid(20 * (voicing - VOICED_ABOVE))
        mean, spread = mean_and_spread(levels, weight)
        # A steady band has no skewness to speak of: the constant keeps rounding from being blown up.
        deviation = ((levels - mean) / (spread + 0.05))[:, :-1]
        cepstra = torch.matmul(self.cepstra, mel)
        return torch.cat(
            [
                mean[:, :-1],  # the mean level is what all levels are relative to: always about 0
                spread,
                _movement(levels, weight, mask, lag=4),
                _melody(log2_pitch, voicing, voiced, weight),
                _contour(log2_pitch, level, voiced, weight),
                masked_mean(cepstra, voiced),
                masked_mean(cepstra, weight - voiced),
                masked_mean(deviation.clamp(-4, 4) ** 3, weight),
                _rhythm(level, voiced, weight, mask),
                _movement(levels, weight, mask, lag=1),
            ],
            dim=1,
        ).squeeze(2)


def mean_and_spread(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation over the last axis, which is kept."""
    mean = masked_mean(values, weight)
    return mean, torch.sqrt(masked_mean((values - mean) ** 2, weight) + 1e-6)


def _movement(levels: Tensor, weight: Tensor, mask: Tensor, lag: int) -> Tensor:
    """Mean distance over `lag` frames."""
    return masked_mean((levels[:, :, lag:] - levels[:, :, :-lag]).abs(), _moving(weight, mask, lag))


def _moving(weight: Tensor, mask: Tensor, lag: int) -> Tensor:
    both = mask[:, :, lag:] * mask[:, :, :-lag]
    return (weight[:, :, lag:] + weight[:, :, :-lag]) / 2 * both


def _melody(log2_pitch: Tensor, voicing: Tensor, voiced: Tensor, weight: Tensor) -> Tensor:
    glide = (log2_pitch[:, :, 4:] - log2_pitch[:, :, :-4]).abs().clamp(max=0.5)
    share = voiced.sum(dim=2, keepdim=True) / (weight.sum(dim=2, keepdim=True) + 1e-6)
    return torch.cat(
        [
            *mean_and_spread(log2_pitch, voiced),
            masked_mean(glide, voiced[:, :, 4:] * voiced[:, :, :-4]),
            *mean_and_spread(voicing, weight),
            share,
        ],
        dim=1,
    )


def _contour(log2_pitch: Tensor, level: Tensor, voiced: Tensor, weight: Tensor) -> Tensor:
    """Pitch, relative to its mean, and level in each third of the speech."""
    said = weight.cumsum(dim=2) / (weight.sum(dim=2, keepdim=True) + 1e-6)
    first, last = torch.sigmoid(60 * (1 / 3 - said)), torch.sigmoid(60 * (said - 2 / 3))
    pitch_mean = masked_mean(log2_pitch, voiced)
    parts = []
    for part in (first, (1 - first) * (1 - last), last):
        # A third without a voice has no melody: the small constant lets it fade to the mean.
        melody = ((log2_pitch - pitch_mean) * voiced * part).sum(dim=2, keepdim=True)
        parts += [
            melody / ((voiced * part).sum(dim=2, keepdim=True) + 0.1),
            masked_mean(level, weight * part),
        ]
    return torch.cat(parts, dim=1)


def _rhythm(level: Tensor, voiced: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    """How fast the level rises and falls, how often voices set in, how much rises differ from falls."""
    change, moving = level[:, :, 4:] - level[:, :, :-4], _moving(weight, mask, 4)
    onset = (voiced[:, :, 3:] - voiced[:, :, :-3]).clamp(min=0)
    return torch.cat(
        [
            masked_mean(change.clamp(min=0), moving),
            masked_mean((-change).clamp(min=0), moving),
            masked_mean(onset, weight[:, :, 3:]),
            masked_mean(change.clamp(-3, 3) ** 3, moving),
        ],
        dim=1,
    )
