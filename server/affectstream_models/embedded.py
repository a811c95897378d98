"""The embedded model: waveform in, calibrated logits, arousal and an embedding out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from affectstream.contract import EMOTIONS
from affectstream_models.features import FrameFeatures
from affectstream_models.utterance import STATISTICS, Statistics

LABELS = EMOTIONS[:4]
"""neutral, happy, sad, angry: what so little speech can teach."""
DIMENSIONS = ("arousal",)
MEMBERS = 4
"""Small networks side by side; their mean probability is better calibrated than any of theirs."""
HIDDEN = 64
EMBEDDING_SIZE = MEMBERS * HIDDEN
FAMILIAR_DIRECTIONS = 40


class Heads(nn.Module):
    """Statistics to logits, arousal and embedding. All that is trained is here."""

    centre: Tensor
    spread: Tensor
    familiar: Tensor
    """Orthonormal directions in which the training set varies most; [FAMILIAR_DIRECTIONS, STATISTICS]."""
    usual_strangeness: Tensor
    temperature: Tensor
    """At usual strangeness, and what is added for each time that strangeness is higher; [2]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(STATISTICS))
        self.register_buffer("spread", torch.ones(STATISTICS))
        self.register_buffer("familiar", torch.zeros(FAMILIAR_DIRECTIONS, STATISTICS))
        self.register_buffer("usual_strangeness", torch.ones(1))
        self.register_buffer("temperature", torch.tensor([1.0, 0.0]))
        self.hidden_weight = _uniform(MEMBERS, STATISTICS, HIDDEN, fan_in=STATISTICS)
        self.hidden_bias = _uniform(MEMBERS, 1, HIDDEN, fan_in=STATISTICS)
        self.emotion_weight = _uniform(MEMBERS, HIDDEN, len(LABELS), fan_in=HIDDEN)
        self.emotion_bias = _uniform(MEMBERS, 1, len(LABELS), fan_in=HIDDEN)
        self.arousal_weight = _uniform(MEMBERS, HIDDEN, len(DIMENSIONS), fan_in=HIDDEN)
        self.arousal_bias = _uniform(MEMBERS, 1, len(DIMENSIONS), fan_in=HIDDEN)
        self.dropout = nn.Dropout(0.5)

    def standardise(self, statistics: Tensor) -> None:
        """Takes what is usual from the training set, float32 [clips, STATISTICS]."""
        self.centre.copy_(statistics.mean(dim=0))
        self.spread.copy_(statistics.std(dim=0, correction=0) + 1e-2)
        standard = self.standard(statistics)
        directions = torch.linalg.svd(standard, full_matrices=False).Vh[:FAMILIAR_DIRECTIONS]
        self.familiar[: len(directions)] = directions
        self.usual_strangeness.fill_(1)
        self.usual_strangeness.copy_(self.strangeness(standard).median())

    def standard(self, statistics: Tensor) -> Tensor:
        """[B, STATISTICS] to the same, centred and scaled."""
        # Far outside what was heard in training, a feature says no more than at the edge.
        return ((statistics - self.centre) / self.spread).clamp(-5, 5)

    def strangeness(self, standard: Tensor) -> Tensor:
        """How far off the familiar directions, 1 in the median of training; [B, STATISTICS] to [B, 1]."""
        inside = standard @ self.familiar.T
        outside = (standard - inside @ self.familiar) ** 2
        return torch.sqrt(outside.mean(dim=1, keepdim=True) + 1e-6) / self.usual_strangeness

    def members(self, standard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Members' logits [MEMBERS, B, 4], arousal logits and hidden layer of standardised statistics."""
        heard = self.dropout(standard.expand(MEMBERS, -1, -1))
        hidden = torch.tanh(heard @ self.hidden_weight + self.hidden_bias)
        kept = self.dropout(hidden)
        emotion = kept @ self.emotion_weight + self.emotion_bias
        return emotion, kept @ self.arousal_weight + self.arousal_bias, hidden

    def together(self, standard: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log of the members' mean probability [B, 4], mean arousal logit [B, 1], and embedding."""
        emotion, arousal, hidden = self.members(standard)
        mean = torch.logsumexp(torch.log_softmax(emotion, dim=2), dim=0) - math.log(MEMBERS)
        return mean, arousal.mean(dim=0), hidden.transpose(0, 1).flatten(start_dim=1)

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, STATISTICS] to calibrated logits [B, 4], arousal 0..1 [B, 1], embedding [B, EMBEDDING_SIZE]."""
        standard = self.standard(statistics)
        uncalibrated, arousal, embedding = self.together(standard)
        excess = (self.strangeness(standard) - 1).clamp(min=0)
        logits = uncalibrated / (self.temperature[0] + self.temperature[1] * excess)
        return logits, torch.sigmoid(arousal), embedding


class EmbeddedModel(nn.Module):
    """The whole graph, as it is exported."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.frames = FrameFeatures()
        self.statistics = Statistics()
        self.heads = heads

    def forward(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """int16 [B, N], int32 [B, 1] to logits [B, 4], arousal 0..1 [B, 1], embedding [B, EMBEDDING_SIZE]."""
        outputs: tuple[Tensor, Tensor, Tensor] = self.heads(self.statistics(*self.frames(audio, num_samples)))
        return outputs


def _uniform(*shape: int, fan_in: int) -> nn.Parameter:
    bound = 1 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
