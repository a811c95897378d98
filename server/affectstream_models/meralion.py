"""MERaLiON-SER-v1: seven emotions, valence, arousal and dominance from 30 s of speech.

A network of our own with the published parameter names, so that the published checkpoint loads
unchanged; the publisher's code is neither run nor copied. The published weights have never been
read where this was written: what is proved is proved with random weights of the same shapes, and
`docs/engine.md` says what is still to be checked with the real file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self

import torch
from torch import Tensor, nn

from affectstream_models.frontend import LogMel
from affectstream_models.meralion_checkpoint import read_checkpoint
from affectstream_models.meralion_config import PINNED_REVISION, MeralionConfig, MeralionOutput
from affectstream_models.meralion_encoder import Encoder
from affectstream_models.meralion_head import Head

Precision = Literal["float32", "bf16", "fp16"]
PRODUCT_DTYPES: Final[dict[Precision, torch.dtype]] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_RMS_EPS: Final = 1.1920929e-07  # float32's own epsilon, whatever the encoder computes in


class _Whisper(nn.Module):
    """The part of the published `whisper.*` that is used."""

    def __init__(self, config: MeralionConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)


class MeralionSer(nn.Module):
    """Waveform to emotion logits, affect dimensions, embedding and frame attention.

    Args:
        config: sizes; the default is the published network of 313,362,581 parameters.

    A new network has random weights: use `from_checkpoint` for a trained one. It is in
    evaluation mode and holds no dropout.
    """

    def __init__(self, config: MeralionConfig | None = None) -> None:
        super().__init__()
        self.config = config or MeralionConfig()
        size = self.config.embedding
        self.frontend = LogMel(self.config.mel_bands)
        self.whisper = _Whisper(self.config)
        self.downstream_model = Head(self.config)
        self.dim_layer = nn.Sequential(
            nn.Linear(size, size),
            nn.RMSNorm(size, eps=_RMS_EPS),
            nn.GELU(),
            nn.Linear(size, self.config.dimensions),
            nn.Sigmoid(),
        )
        self.emotion_layer = nn.Linear(size, size)
        self.emotion_classification_layer = nn.Sequential(
            nn.RMSNorm(size, eps=_RMS_EPS), nn.GELU(), nn.Linear(size, self.config.labels)
        )
        self.eval()

    def forward(self, waveform: Tensor) -> MeralionOutput:
        """Scores windows of exactly `config.window_samples` samples (480,000: 30 s at 16 kHz).

        Args:
            waveform: `[B, 480000]`, float32 in −1..1 or int16, zero-padded at the end. The
                padding is part of the function: the same speech in a shorter window gives
                another answer. `score` pads and splits for you.

        Returns:
            `MeralionOutput`, float32: logits `[B, 7]`, dims `[B, 3]`, embedding `[B, 256]`,
            frame_attention `[B, 1500]`. The last is the mean of what the two poolings weigh
            their frames by (see `meralion_head.Pooling`): a timeline of where the network
            looked, not a proof of what it heard there.
        """
        mel = self.frontend(waveform)
        embedding, attention = self.downstream_model(self.whisper.encoder(mel))
        dims = self.dim_layer(embedding)
        logits = self.emotion_classification_layer(self.emotion_layer(embedding))
        return MeralionOutput(logits, dims, embedding, attention)

    def set_precision(self, precision: Precision) -> Self:
        """Computes the encoder's products in float32, bf16 or fp16; returns the network itself.

        Front end, LayerNorm, residual stream, pooling, RMSNorm and heads stay float32. The
        weights are rounded in place, so there is no way back to the float32 ones.
        """
        self.whisper.encoder.set_product_dtype(PRODUCT_DTYPES[precision])
        return self

    @property
    def precision(self) -> Precision:
        """What the encoder's products are computed in."""
        dtype = self.whisper.encoder.conv1.weight.dtype
        return next(name for name, candidate in PRODUCT_DTYPES.items() if candidate == dtype)

    @classmethod
    def from_checkpoint(
        cls,
        path_or_hub_id: str | Path,
        *,
        revision: str | None = PINNED_REVISION,
        token: str | None = None,
        config: MeralionConfig | None = None,
    ) -> Self:
        """Loads a checkpoint: a folder, a `.safetensors` file beside its `config.json`, or a hub id.

        Args:
            path_or_hub_id: `MERaLiON/MERaLiON-SER-v1` or a local path.
            revision: commit on the hub; ignored for a local path. None means the latest.
            token: for the hub; `HF_TOKEN` is used when it is None.
            config: expected sizes, the published ones by default.

        Raises:
            CheckpointError: with one line that names the tensor or field that is wrong, its
                value, and what to do.
        """
        expected = config or MeralionConfig()
        # On the meta device the network costs nothing; `assign` then puts the tensors read
        # from the file in place, so the weights exist once.
        with torch.device("meta"):
            model = cls(expected)
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        tensors = read_checkpoint(path_or_hub_id, wanted, expected, revision=revision, token=token)
        model.load_state_dict(tensors, strict=True, assign=True)
        model.requires_grad_(requires_grad=False)
        return model
