"""The embedded model: waveform in, calibrated logits, arousal and an embedding out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from affectstream.contract import EMOTIONS
from affectstream_models.features import FRAME_FEATURES, FrameFeatures, masked_mean

LABELS = EMOTIONS[:4]
"""neutral, happy, sad, angry: what so little speech can teach."""
DIMENSIONS = ("arousal",)
HIDDEN = 64

STATISTICS = 3 * (FRAME_FEATURES - 2) - 1 + 6


class Statistics(nn.Module):
    """Frames to one vector: how the spectrum lies, how far and how fast it moves, and the melody."""

    def forward(self, features: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """float32 [B, F, T], [B, 1, T], [B, 1, T] to [B, STATISTICS]."""
        spectrum, log2_pitch, voicing = features[:, :-2], features[:, -2:-1], features[:, -1:]
        both = mask[:, :, 4:] * mask[:, :, :-4]
        moving = (weight[:, :, 4:] + weight[:, :, :-4]) / 2 * both
        voiced = weight * torch.sigmoid(20 * (voicing - 0.35))
        gliding = voiced[:, :, 4:] * voiced[:, :, :-4]
        pitch_mean, pitch_spread = mean_and_spread(log2_pitch, voiced)
        glide = masked_mean((log2_pitch[:, :, 4:] - log2_pitch[:, :, :-4]).abs().clamp(max=0.5), gliding)
        voicing_mean, voicing_spread = mean_and_spread(voicing, weight)
        share = voiced.sum(dim=2, keepdim=True) / (weight.sum(dim=2, keepdim=True) + 1e-6)
        mean, spread = mean_and_spread(spectrum, weight)
        delta = (spectrum[:, :, 4:] - spectrum[:, :, :-4]).abs()
        return torch.cat(
            [
                mean[:, :-1],  # the mean level is what all levels are relative to: always about 0
                spread,
                masked_mean(delta, moving),
                pitch_mean,
                pitch_spread,
                glide,
                voicing_mean,
                voicing_spread,
                share,
            ],
            dim=1,
        ).squeeze(2)


def mean_and_spread(values: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation over the last axis, which is kept."""
    mean = masked_mean(values, weight)
    return mean, torch.sqrt(masked_mean((values - mean) ** 2, weight) + 1e-6)


class Heads(nn.Module):
    """Statistics to logits, arousal and embedding. All that is trained is here."""

    centre: Tensor
    spread: Tensor
    temperature: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(STATISTICS))
        self.register_buffer("spread", torch.ones(STATISTICS))
        self.register_buffer("temperature", torch.ones(1))
        self.hidden = nn.Linear(STATISTICS, HIDDEN)
        self.dropout = nn.Dropout(0.4)
        self.emotion = nn.Linear(HIDDEN, len(LABELS))
        self.arousal = nn.Linear(HIDDEN, len(DIMENSIONS))

    def standardise(self, statistics: Tensor) -> None:
        """Takes centre and spread of each statistic from the training set, float32 [clips, STATISTICS]."""
        self.centre.copy_(statistics.mean(dim=0))
        self.spread.copy_(statistics.std(dim=0, correction=0) + 1e-2)

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, STATISTICS] to logits [B, 4], arousal logit [B, 1] and embedding [B, HIDDEN]."""
        # Far outside what was heard in training, a feature says no more than at the edge.
        standard = ((statistics - self.centre) / self.spread).clamp(-5, 5)
        embedding = torch.tanh(self.hidden(self.dropout(standard) if self.training else standard))
        hidden = self.dropout(embedding)
        return self.emotion(hidden) / self.temperature, self.arousal(hidden), embedding


class EmbeddedModel(nn.Module):
    """The whole graph, as it is exported."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.frames = FrameFeatures()
        self.statistics = Statistics()
        self.heads = heads

    def forward(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """int16 [B, N] and int32 [B, 1] to logits [B, 4], arousal 0..1 [B, 1] and embedding [B, HIDDEN]."""
        logits, arousal, embedding = self.heads(self.statistics(*self.frames(audio, num_samples)))
        return logits, torch.sigmoid(arousal), embedding
