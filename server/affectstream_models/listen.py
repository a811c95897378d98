"""Clips to training examples, heard as they are and in altered copies through the model's own features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from affectstream_models.augment import augment
from affectstream_models.dataset import Clip, Waveform
from affectstream_models.embedded import LABELS, Statistics
from affectstream_models.features import FrameFeatures
from affectstream_models.fit import Examples


def listen(
    clips: Sequence[Clip],
    noises: Sequence[Waveform],
    copies: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> Examples:
    """`copies` examples of each clip, the first unaltered; `advance` is called after each."""
    frames, statistics = FrameFeatures(), Statistics()
    rows, labels = [], []
    for index, clip in enumerate(clips):
        waveform = clip.read()
        for copy in range(copies):
            rng = np.random.default_rng([seed, index, copy])
            heard = augment(waveform, noises, rng) if copy else waveform
            audio = torch.from_numpy(heard).unsqueeze(0)
            num_samples = torch.tensor([[len(heard)]], dtype=torch.int32)
            with torch.no_grad():
                rows.append(statistics(*frames(audio, num_samples))[0].numpy())
            labels.append(LABELS.index(clip.emotion))
            advance()
    return Examples(np.stack(rows), np.array(labels, dtype=np.int64))
