"""Sizes of a MERaLiON-SER network, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from torch import Tensor

from affectstream.contract import DIMENSIONS, EMOTIONS
from affectstream_models.frontend import HOP_SAMPLES

HUB_ID: Final = "MERaLiON/MERaLiON-SER-v1"
PINNED_REVISION: Final = "7e3ee6fa4534dea8316e8ca43e377e2fbb58496b"
"""The revision of the published checkpoint that this code was written against."""
PUBLISHED_TENSORS: Final = 479
PUBLISHED_PARAMETERS: Final = 313_362_581


@dataclass(frozen=True, slots=True)
class MeralionConfig:
    """Sizes of the network; the defaults are the published ones (whisper-medium's encoder and its head)."""

    mel_bands: int = 80
    width: int = 1024
    """Channels of the encoder."""
    layers: int = 24
    heads: int = 16
    feed_forward: int = 4096
    frames: int = 1500
    """Encoder positions, each 20 ms; also the length of the window."""
    channels: int = 512
    """Channels of the head."""
    dilations: tuple[int, ...] = (1, 2, 3)
    """One Res2 block for each."""
    chunks: int = 4
    squeeze: int = 64
    """Channels inside squeeze-excite."""
    norm_groups: int = 32
    kernels: tuple[int, ...] = (1, 2, 6, 16)
    """Kernel of each resolution of the pooling, in frames."""
    kernel_groups: int = 64
    levels: int = 3
    """Levels of the segment pooling; each halves the frames."""
    embedding: int = 256
    labels: int = len(EMOTIONS)
    dimensions: int = len(DIMENSIONS)

    @property
    def window_samples(self) -> int:
        """Samples at 16 kHz that one forward pass sees: 480,000 (30 s) for the published size."""
        return self.frames * 2 * HOP_SAMPLES


class MeralionOutput(NamedTuple):
    """What `MeralionSer.forward` returns; all float32."""

    logits: Tensor
    """`[B, 7]`, in the order of `contract.EMOTIONS`; softmax gives probabilities."""
    dims: Tensor
    """`[B, 3]`: valence, arousal, dominance, each in 0..1."""
    embedding: Tensor
    """`[B, 256]`: the layer that both heads read."""
    frame_attention: Tensor
    """`[B, 1500]`: how much the pooling looked at each 20 ms frame; each row sums to 1."""
