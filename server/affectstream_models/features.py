"""Acoustic features as a graph of plain tensor operations, one definition for training and serving.

Everything is relative to the utterance's own speech level: the loudness of a recording carries no
information, and silence around the speech weighs almost nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from affectstream.contract import SAMPLE_RATE_HZ

HOP_SAMPLES = 160
"""One frame every 10 ms."""
PITCH_WINDOW_SAMPLES = 640
"""40 ms: at least two periods of the lowest voice. Sets how many frames an utterance has."""
MEL_WINDOW_SAMPLES = 400
MEL_FFT = 512
MEL_BANDS = 40
MEL_RANGE_HZ = (60.0, 7600.0)
PITCH_RANGE_HZ = (60.0, 500.0)
PITCH_BAND_HZ = (60.0, 1000.0)
PITCH_FFT = 960
PITCH_LAGS = 64
FLOOR_DB = -60.0
"""What is this far below the speech level is not heard."""
SILENCE_POWER = 0.1
"""In squared quantisation steps of 16-bit audio: keeps digital silence finite."""

FRAME_FEATURES = MEL_BANDS + 3
"""Log-mel bands, then level, log2 of pitch, and voicing."""


def mel_matrix(bands: int, fft: int, low_hz: float, high_hz: float) -> npt.NDArray[np.float64]:
    """Triangular mel filters of unit peak; shape [fft // 2 + 1, bands]."""
    mel_edges = np.linspace(2595 * np.log10(1 + low_hz / 700), 2595 * np.log10(1 + high_hz / 700), bands + 2)
    edges_hz = 700 * (10 ** (mel_edges / 2595) - 1)
    bins_hz = np.arange(fft // 2 + 1)[:, None] * SAMPLE_RATE_HZ / fft
    rise = (bins_hz - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    fall = (edges_hz[2:] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(rise, fall)))


def dft_kernel(window_samples: int, fft: int, bins: npt.NDArray[np.int64]) -> Tensor:
    """Hann-windowed cosines, then sines, as convolution kernels; shape [2 * bins, 1, window_samples].

    Scaled so that a sine has about its squared amplitude as power in its bin.
    """
    window = np.hanning(window_samples + 1)[:-1]
    phase = 2 * np.pi * np.outer(bins, np.arange(window_samples)) / fft
    basis = np.concatenate([np.cos(phase), np.sin(phase)]) * window * (2 / window.sum())
    return torch.tensor(basis[:, None, :], dtype=torch.float32)


class FrameFeatures(nn.Module):
    """Waveform to frames. Nothing here is trained."""

    mel_kernel: Tensor
    mel: Tensor
    pitch_kernel: Tensor
    lag_cosines: Tensor
    log2_pitch: Tensor
    prefer_high: Tensor
    reach: Tensor
    """What a perfectly periodic wave correlates to at each lag, by its square root; shape [PITCH_LAGS, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "mel_kernel", dft_kernel(MEL_WINDOW_SAMPLES, MEL_FFT, np.arange(1, MEL_FFT // 2))
        )
        mel = mel_matrix(MEL_BANDS, MEL_FFT, *MEL_RANGE_HZ)[1:-1]
        self.register_buffer("mel", torch.tensor(mel.T[:, :, None], dtype=torch.float32))
        first, last = (round(hz * PITCH_FFT / SAMPLE_RATE_HZ) for hz in PITCH_BAND_HZ)
        bins = np.arange(first, last + 1)
        self.register_buffer("pitch_kernel", dft_kernel(PITCH_WINDOW_SAMPLES, PITCH_FFT, bins))
        pitch_hz = np.geomspace(PITCH_RANGE_HZ[1], PITCH_RANGE_HZ[0], PITCH_LAGS)
        lags = SAMPLE_RATE_HZ / pitch_hz
        cosines = np.cos(2 * np.pi * np.outer(lags, bins) / PITCH_FFT)
        self.register_buffer("reach", torch.ones(PITCH_LAGS, 1))
        self.register_buffer("lag_cosines", torch.tensor(cosines[:, :, None], dtype=torch.float32))
        self.register_buffer("log2_pitch", torch.tensor(np.log2(pitch_hz), dtype=torch.float32))
        # A sub-harmonic correlates as well as the pitch itself; prefer the shorter lag by a little.
        prefer = 0.03 * np.log2(pitch_hz / PITCH_RANGE_HZ[0])
        self.register_buffer("prefer_high", torch.tensor(prefer[:, None], dtype=torch.float32))
        self.reach = self._reach(pitch_hz)

    def forward(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames, their weights and their mask.

        `audio` is int16 [B, N] at 16 kHz, N at least 1,600; `num_samples` int32 [B, 1]. Returns features
        float32 [B, F, T], speech weights 0..1 [B, 1, T], and a mask of real frames, 0 or 1 [B, 1, T].
        """
        samples = audio.shape[1]
        real = num_samples.clamp(PITCH_WINDOW_SAMPLES, samples)
        heard = torch.arange(samples, device=audio.device) < real
        wave = (audio.to(torch.float32) * heard).unsqueeze(1)
        offset = (PITCH_WINDOW_SAMPLES - MEL_WINDOW_SAMPLES) // 2
        mel_power = self._mel_power(wave[:, :, offset:])
        salience = self._salience(wave)
        frames = salience.shape[2]
        mel_power = mel_power[:, :, :frames]
        real_frames = (real - PITCH_WINDOW_SAMPLES) // HOP_SAMPLES + 1
        mask = (torch.arange(frames, device=audio.device) < real_frames).to(torch.float32).unsqueeze(1)

        power = mel_power.mean(dim=1, keepdim=True)
        level_db = 10 * torch.log10(power + SILENCE_POWER) * mask + (mask - 1) * 100
        weight = self._speech(level_db, level_db.amax(dim=2, keepdim=True)) * mask
        speech_db = masked_mean(level_db, weight)
        weight = self._speech(level_db, speech_db + 6) * mask
        speech_db = masked_mean(level_db, weight)

        reference = torch.pow(10.0, speech_db / 10)
        mel_db = 10 * torch.log10(mel_power / reference + 10 ** (FLOOR_DB / 10))
        relative_db = 10 * torch.log10((power + SILENCE_POWER) / reference + 10 ** (FLOOR_DB / 10))
        peak = torch.softmax(60 * (salience + self.prefer_high), dim=1)
        log2_pitch = (peak * self.log2_pitch[:, None]).sum(dim=1, keepdim=True)
        voicing = (peak * salience).sum(dim=1, keepdim=True)
        features = torch.cat([mel_db / 10, relative_db / 10, log2_pitch, voicing], dim=1)
        return features * mask, weight, mask

    def _mel_power(self, wave: Tensor) -> Tensor:
        spectrum = functional.conv1d(wave, self.mel_kernel, stride=HOP_SAMPLES)
        cosine, sine = spectrum.chunk(2, dim=1)
        return functional.conv1d(cosine * cosine + sine * sine, self.mel)

    def _salience(self, wave: Tensor) -> Tensor:
        """Periodicity at log-spaced lags, about -1..1; shape [B, PITCH_LAGS, T]."""
        spectrum = functional.conv1d(wave, self.pitch_kernel, stride=HOP_SAMPLES)
        cosine, sine = spectrum.chunk(2, dim=1)
        # The cube root of power flattens formants, which would otherwise pass for harmonics.
        flattened = torch.pow(cosine * cosine + sine * sine + SILENCE_POWER, 1 / 3)
        correlation = functional.conv1d(flattened, self.lag_cosines)
        return correlation / (flattened.sum(dim=1, keepdim=True) * self.reach)

    def _reach(self, pitch_hz: npt.NDArray[np.float64]) -> Tensor:
        time_s = np.arange(PITCH_WINDOW_SAMPLES) / SAMPLE_RATE_HZ
        reached = []
        for lag, hz in enumerate(pitch_hz):
            harmonics = np.arange(1, 1500 // hz + 1)[:, None]
            wave = 1000 * np.cos(2 * np.pi * hz * harmonics * time_s + 0.7 * harmonics**2).sum(axis=0)
            periodic = torch.tensor(wave[None, None], dtype=torch.float32)
            reached.append(float(self._salience(periodic)[0, lag, 0]))
        # The whole of it would raise the noise at long lags as much as the voices.
        return torch.tensor(reached).sqrt().unsqueeze(1)

    @staticmethod
    def _speech(level_db: Tensor, peak_db: Tensor) -> Tensor:
        return torch.sigmoid((level_db - peak_db + 25) / 3)


def masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the last axis, which is kept; `weight` broadcasts."""
    return (values * weight).sum(dim=2, keepdim=True) / (weight.sum(dim=2, keepdim=True) + 1e-6)
