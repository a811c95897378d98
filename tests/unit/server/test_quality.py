"""How far speech stands above noise: estimated from the utterance alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream_server.stages.quality import clipped_ratio, snr_db
from tests.support.speech import sample_talk, tone

SPEECH = sample_talk()[16_000:52_000]


def in_noise(wanted_db: float, seed: int = 0) -> NDArray[np.int16]:
    speech = SPEECH.astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 1, len(speech))
    noise *= np.sqrt(np.mean(speech**2) * 10 ** (-wanted_db / 10))
    return np.clip(np.round(speech + noise), -32_768, 32_767).astype(np.int16)


def estimated(audio: NDArray[np.int16]) -> float:
    found = snr_db(audio)
    assert found is not None
    return found


@pytest.mark.parametrize("wanted_db", [20, 10, 5, 0])
def test_steady_noise_is_told_within_three_decibels(wanted_db: float) -> None:
    assert [estimated(in_noise(wanted_db, seed)) for seed in range(3)] == pytest.approx(
        [wanted_db] * 3, abs=3
    )


def test_the_more_noise_the_lower() -> None:
    told = [estimated(SPEECH), *(estimated(in_noise(wanted)) for wanted in (20, 15, 10, 5, 0, -5))]
    assert told == sorted(told, reverse=True)
    assert told[0] > 25


def test_neither_loudness_nor_an_offset_counts() -> None:
    noisy = in_noise(10).astype(np.float64)
    plain = estimated(in_noise(10))
    assert estimated((noisy / 8).round().astype(np.int16)) == pytest.approx(plain, abs=0.5)
    assert estimated((noisy / 2 + 9_000).round().astype(np.int16)) == pytest.approx(plain, abs=0.5)


def test_noise_alone_stands_above_nothing() -> None:
    rng = np.random.default_rng(1)
    assert estimated(rng.normal(0, 800, 32_000).astype(np.int16)) < -3
    assert estimated((tone(1.0) * 20_000).astype(np.int16)) == pytest.approx(-20, abs=0.1)


def test_what_says_nothing_has_no_figure() -> None:
    assert snr_db(np.zeros(32_000, np.int16)) is None
    assert snr_db(np.full(32_000, 700, np.int16)) is None, "an offset is no sound"
    assert snr_db(SPEECH[:3_199]) is None
    assert snr_db(np.zeros(0, np.int16)) is None


@pytest.mark.parametrize("kind", ["full scale", "one click", "gated"])
def test_extremes_stay_in_range(kind: str) -> None:
    audio = np.zeros(32_000, np.int16)
    if kind == "full scale":
        audio[::2] = -32_768
        audio[1::2] = 32_767
    elif kind == "one click":
        audio[16_000] = 32_767
    else:
        audio[8_000:24_000] = SPEECH[:16_000]
    assert -20.1 <= estimated(audio) <= 100


@pytest.mark.parametrize(
    ("audio", "ratio"),
    [
        ([], 0.0),
        ([0, 32_766, -32_766], 0.0),
        ([32_767, 0, 0, 0], 0.25),
        ([-32_768, -32_767, 1, 32_767], 0.75),
    ],
)
def test_clipping_is_the_share_at_full_scale(audio: list[int], ratio: float) -> None:
    assert clipped_ratio(np.array(audio, np.int16)) == ratio
