"""The front end against Whisper's own feature extractor, on speech, silence and digital zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from affectstream_models.frontend import LogMel, dft_basis, mel_filters
from tests.models.meralion.helpers import Samples

WINDOW = 480_000


@pytest.fixture(scope="module")
def extractor() -> Any:
    transformers = pytest.importorskip("transformers", reason="needs transformers==5.23.0 beside torch")
    return transformers.WhisperFeatureExtractor(feature_size=80)


def ours(audio: npt.NDArray[Any]) -> torch.Tensor:
    """Cut and padded as samples, as the service does it."""
    window = np.zeros((1, WINDOW), dtype=audio.dtype)
    window[0, : len(audio)] = audio[:WINDOW]
    with torch.inference_mode():
        features: torch.Tensor = LogMel()(torch.from_numpy(window))
    return features


def error(extractor: Any, audio: npt.NDArray[np.float32]) -> float:
    theirs = extractor(audio, sampling_rate=16_000, return_tensors="pt", padding="max_length")
    return float((ours(audio) - theirs.input_features).abs().max())


@pytest.mark.parametrize("seconds", [0.5, 5, 29.9, 30, 40])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_speech_gives_what_whispers_extractor_gives(
    extractor: Any, talk: Samples, seconds: float, gain: float
) -> None:
    audio = (talk[: int(seconds * 16_000)] / 32_768 * gain).astype(np.float32)
    assert error(extractor, audio) < 1e-4


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(16_000),
        np.zeros(WINDOW),
        np.full(16_000, 1 / 32_768),
        np.random.default_rng(0).integers(-2, 3, 16_000) / 32_768,
    ],
    ids=["digital zero", "a window of zero", "one step of offset", "room silence"],
)
def test_silence_gives_what_whispers_extractor_gives(extractor: Any, audio: npt.NDArray[np.float64]) -> None:
    assert error(extractor, audio.astype(np.float32)) < 1e-4


def test_int16_and_float_samples_are_the_same_audio(talk: Samples) -> None:
    clip = talk[:80_000]
    assert torch.equal(ours(clip), ours((clip / 32_768).astype(np.float32)))


def test_padding_is_not_zero_in_the_picture(talk: Samples) -> None:
    """Padding is eight decades below the loudest bin: a picture padded with zeros would be another one."""
    mel = ours(talk[:80_000])[0]
    assert torch.allclose(mel[:, -1], mel.max() - 2.0, atol=1e-5)
    assert mel[:, -1].abs().min() > 0.01


def test_each_item_of_a_batch_has_its_own_loudest_bin(talk: Samples) -> None:
    pair = np.stack([talk[:16_000], talk[16_000:32_000] // 64])
    alone = torch.cat([LogMel()(torch.from_numpy(clip)[None]) for clip in pair])
    assert torch.allclose(alone, LogMel()(torch.from_numpy(pair)), atol=1e-5)


def test_filters_are_whispers(extractor: Any) -> None:
    assert np.abs(extractor.mel_filters - mel_filters(80)).max() < 1e-8


def test_basis_is_a_windowed_dft() -> None:
    signal = np.random.default_rng(1).standard_normal(400)
    spectrum = np.fft.rfft(signal * np.hanning(401)[:-1])
    product = signal @ dft_basis().astype(np.float64)
    assert np.allclose(product[:201], spectrum.real, atol=1e-5)
    assert np.allclose(product[201:], spectrum.imag, atol=1e-5)
