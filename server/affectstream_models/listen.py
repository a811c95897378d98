"""Clips to training examples, heard as they are and in altered copies through the model's own features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from affectstream_models.augment import augment
from affectstream_models.dataset import Clip, Waveform
from affectstream_models.embedded import LABELS
from affectstream_models.features import FrameFeatures
from affectstream_models.fit import Examples
from affectstream_models.utterance import Statistics

SENTENCE = slice(2, 5)
"""Of a clip's name in EmoDB: after the speaker's two digits."""

Alteration = Callable[[Waveform, Sequence[Waveform], np.random.Generator], Waveform]


def listen(
    clips: Sequence[Clip],
    noises: Sequence[Waveform],
    copies: int,
    seed: int,
    *,
    advance: Callable[[], None] = lambda: None,
    alter: Alteration = augment,
    plain: bool = True,
) -> Examples:
    """`copies` examples of each clip, the first unaltered if `plain`; `advance` is called after each."""
    frames, statistics = FrameFeatures(), Statistics()
    rows = []
    for index, clip in enumerate(clips):
        waveform = clip.read()
        for copy in range(copies):
            rng = np.random.default_rng([seed, index, copy])
            heard = waveform if plain and copy == 0 else alter(waveform, noises, rng)
            audio = torch.from_numpy(heard).unsqueeze(0)
            num_samples = torch.tensor([[len(heard)]], dtype=torch.int32)
            with torch.no_grad():
                rows.append(statistics(*frames(audio, num_samples))[0].numpy())
            advance()
    labels = np.array([LABELS.index(clip.emotion) for clip in clips], dtype=np.int64)
    return Examples(
        statistics=np.stack(rows),
        labels=labels.repeat(copies),
        speakers=np.array([clip.speaker for clip in clips]).repeat(copies),
        genders=np.array([clip.gender for clip in clips]).repeat(copies),
        sentences=np.array([clip.path.stem[SENTENCE] for clip in clips]).repeat(copies),
        altered=np.tile((np.arange(copies) > 0) | (not plain), len(clips)),
    )
