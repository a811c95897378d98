"""The features say what they are named after."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `models`")

import torch

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.features import (
    HOP_SAMPLES,
    MEL_BANDS,
    PITCH_WINDOW_SAMPLES,
    FrameFeatures,
    masked_mean,
    mel_matrix,
)
from tests.models.embedded.helpers import Waveform, voice

LEVEL, PITCH, VOICING = MEL_BANDS, MEL_BANDS + 1, MEL_BANDS + 2


def hear(wave: Waveform) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        features, weight, mask = FrameFeatures()(
            torch.from_numpy(wave)[None], torch.tensor([[len(wave)]], dtype=torch.int32)
        )
    return features[0], weight[0, 0], mask[0, 0]


@pytest.mark.parametrize("pitch_hz", [80.0, 120.0, 200.0, 330.0])
def test_pitch_of_a_steady_voice(pitch_hz: float) -> None:
    features, weight, _ = hear(voice(1, 1.5, pitch_hz=pitch_hz, swing=0.0))
    heard = weight > 0.8
    semitones = 12 * (features[PITCH, heard] - np.log2(pitch_hz))
    assert float(semitones.abs().median()) < 0.6


def test_noise_has_no_voice() -> None:
    noise = np.random.default_rng(0).normal(0, 2000, SAMPLE_RATE_HZ).astype(np.int16)
    features, _, _ = hear(noise)
    assert float(features[VOICING].median()) < 0.4


def test_a_tone_stands_in_its_mel_band() -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    bands = mel_matrix(MEL_BANDS, 512, 60, 7600)
    for hz in (250, 1000, 4000):
        features, _, _ = hear((8000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16))
        assert (
            int(features[:MEL_BANDS].mean(dim=1).argmax()) == bands[round(hz * 512 / SAMPLE_RATE_HZ)].argmax()
        )


def test_frames_are_counted_by_the_window() -> None:
    for samples in (1_600, 1_759, 1_760, 16_000):
        features, _, mask = hear(voice(0, 1.0)[:samples])
        assert features.shape[1] == (samples - PITCH_WINDOW_SAMPLES) // HOP_SAMPLES + 1
        assert float(mask.sum()) == features.shape[1]


def test_silence_around_speech_weighs_almost_nothing() -> None:
    speech = voice(5, 1.0)
    silence = np.zeros(8_000, dtype=np.int16)
    _, weight, _ = hear(np.concatenate([silence, speech, silence]))
    assert float(weight[:40].max()) < 0.01
    assert float(weight[60:140].mean()) > 0.4


def test_masked_mean_by_hand() -> None:
    values = torch.tensor([[[1.0, 5.0, 9.0]]])
    assert float(masked_mean(values, torch.tensor([[[1.0, 3.0, 0.0]]]))) == pytest.approx(4.0, abs=1e-5)
