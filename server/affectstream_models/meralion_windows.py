"""Audio of any length: padded or split into windows, and the windows' answers combined by duration."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from affectstream.contract import ATTENTION_FRAME_SAMPLES
from affectstream_models.errors import ModelsError
from affectstream_models.meralion import MeralionSer


class Affect(NamedTuple):
    """The answer to one stretch of audio; all float32."""

    probabilities: Tensor
    """`[7]`, in the order of `contract.EMOTIONS`, summing to 1."""
    dims: Tensor
    """`[3]`: valence, arousal, dominance, each in 0..1."""
    embedding: Tensor
    """`[256]`."""
    frame_attention: Tensor
    """`[frames]`, one for each 20 ms of the audio, the padding left out."""


def windows(samples: int, window_samples: int) -> list[slice]:
    """Splits `samples` into as few stretches of at most `window_samples` as will do, of equal length.

    Equal lengths (to one sample) rather than full windows and a rest: a rest of half a second
    would be judged by almost nothing but its padding.

    Raises:
        ModelsError: when there are no samples.
    """
    if samples <= 0:
        raise ModelsError(f"audio has {samples} samples; give at least one, better 16,000 (1 s)")
    count = -(-samples // window_samples)
    bounds = [index * samples // count for index in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


@torch.inference_mode()
def score(model: MeralionSer, waveform: Tensor, *, batch: int = 4) -> Affect:
    """Scores audio of any length.

    Args:
        model: the network; its device decides where this runs.
        waveform: `[samples]` at 16 kHz, float32 in −1..1 or int16.
        batch: windows in one forward pass.

    Returns:
        Means over the windows, each weighted by how much audio it holds: of probabilities (not
        of logits), dims and embedding. One window when there are 30 s or less.
    """
    window_samples = model.config.window_samples
    stretches = windows(waveform.shape[0], window_samples)
    padded = torch.stack([_pad(waveform[stretch], window_samples) for stretch in stretches])
    device = model.emotion_layer.weight.device
    outputs = [model(part.to(device)) for part in torch.split(padded, batch)]
    logits, dims, embedding, attention = (torch.cat(parts).cpu() for parts in zip(*outputs, strict=True))
    lengths = torch.tensor([stretch.stop - stretch.start for stretch in stretches], dtype=torch.float32)
    shares = lengths / lengths.sum()
    timeline = [
        share * row[: -(-int(length) // ATTENTION_FRAME_SAMPLES)]
        for share, length, row in zip(shares, lengths, attention, strict=True)
    ]
    return Affect(
        shares @ torch.softmax(logits, dim=1), shares @ dims, shares @ embedding, torch.cat(timeline)
    )


def _pad(waveform: Tensor, window_samples: int) -> Tensor:
    return functional.pad(waveform, (0, window_samples - waveform.shape[0]))
