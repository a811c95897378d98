"""Log-mel features as a part of the graph: waveform in, the picture that Whisper's encoder reads out.

The spectrum is a framed matrix product with a windowed DFT basis, for two reasons: STFT support
varies between TensorRT versions while MatMul does not, and a product in true float32 is exact
enough for the quiet bins under the logarithm, where TF32's ten bits of mantissa are not. So
nothing here may run in TF32, fp16 or bf16: see `docs/engine.md` for how each runtime is told.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from affectstream.contract import SAMPLE_RATE_HZ

FFT_SAMPLES = 400
HOP_SAMPLES = 160
_GRAIN_SAMPLES = 80  # divides the hop and the frame, so a frame is five grains and needs no gather
_INT16_FULL_SCALE = 32_768.0
_POWER_FLOOR = 1e-10
_DYNAMIC_RANGE_LOG10 = 8.0


def dft_basis() -> npt.NDArray[np.float32]:
    """Hann-windowed cosines and sines, float32 `[400, 402]`, columns 0..200 real, 201..401 imaginary.

    The window is the periodic one, as Whisper's feature extractor has it.
    """
    n = np.arange(FFT_SAMPLES)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / FFT_SAMPLES)
    # The angle is reduced before the cosine, so that the basis is exact to its last bit.
    turns = (n[:, None] * np.arange(FFT_SAMPLES // 2 + 1)[None, :]) % FFT_SAMPLES / FFT_SAMPLES
    basis = np.concatenate([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis=1)
    return np.asarray(window[:, None] * basis, dtype=np.float32)


def _hz_to_slaney(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(
        hz < 1000.0, 3.0 * hz / 200.0, 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) * 27.0 / np.log(6.4)
    )


def _slaney_to_hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mels < 15.0, 200.0 * mels / 3.0, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mels - 15.0)))


def mel_filters(bands: int) -> npt.NDArray[np.float32]:
    """Triangular filters on Slaney's mel scale, each of unit area, float32 `[201, bands]`, 0..8,000 Hz."""
    top_hz = SAMPLE_RATE_HZ / 2
    bins_hz = np.linspace(0.0, top_hz, FFT_SAMPLES // 2 + 1)
    edges = _slaney_to_hz(np.linspace(0.0, float(_hz_to_slaney(np.array(top_hz))), bands + 2))
    below, centre, above = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins_hz[:, None] - below) / (centre - below)
    falling = (above - bins_hz[:, None]) / (above - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (above - below)), dtype=np.float32)


class LogMel(nn.Module):
    """Waveform to Whisper's log-mel: float32 `[B, samples]` → float32 `[B, bands, samples / 160]`.

    Args:
        bands: mel bands; whisper-medium has 80.

    The input is float32 in −1..1, or int16, which is divided by 32,768. Its length must be a
    multiple of 160 samples, and at least 400. Silence is padded by the caller, as samples:
    it becomes (max − 8 + 4) / 4 here and not 0, where max is the item's own loudest bin.
    """

    basis: Tensor
    filters: Tensor

    def __init__(self, bands: int = 80) -> None:
        super().__init__()
        self.register_buffer("basis", torch.from_numpy(dft_basis()), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(bands)), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        audio = to_float(waveform)
        frames = frame(audio)
        real, imaginary = (frames @ self.basis).chunk(2, dim=-1)
        power = real * real + imaginary * imaginary
        log_power = torch.log10((power @ self.filters).clamp_min(_POWER_FLOOR))
        floor = log_power.amax(dim=(1, 2), keepdim=True) - _DYNAMIC_RANGE_LOG10
        scaled: Tensor = (torch.maximum(log_power, floor) + 4.0) / 4.0
        return scaled.transpose(1, 2)


def to_float(waveform: Tensor) -> Tensor:
    """Samples as float32 in −1..1: int16 is divided by 32,768, float32 is passed on as it is."""
    if waveform.dtype == torch.int16:
        return waveform.to(torch.float32) / _INT16_FULL_SCALE
    return waveform


def frame(audio: Tensor) -> Tensor:
    """Centred frames of 400 samples every 160: `[B, samples]` → `[B, samples / 160, 400]`.

    Both ends are padded by reflection, and the frame centred on the end itself is left out, as
    Whisper does.
    """
    half = FFT_SAMPLES // 2
    padded = functional.pad(audio.unsqueeze(1), (half, half), mode="reflect").squeeze(1)
    count = audio.shape[1] // HOP_SAMPLES
    grains = padded.reshape(-1, padded.shape[1] // _GRAIN_SAMPLES, _GRAIN_SAMPLES)
    stride = HOP_SAMPLES // _GRAIN_SAMPLES
    shifts = range(FFT_SAMPLES // _GRAIN_SAMPLES)
    return torch.cat([grains[:, i : i + stride * count : stride] for i in shifts], dim=2)
