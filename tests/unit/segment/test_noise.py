"""Noise that is made for tuning talks."""

from __future__ import annotations

import numpy as np
import pytest

from quality.noise import rms, steady_noise


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_steady_noise_never_pauses_and_keeps_its_level_over_a_talk(seed: int) -> None:
    noise = steady_noise(20 * 16_000, np.random.default_rng(seed))
    assert len(noise) == 20 * 16_000
    assert 0.5 < rms(noise) < 2.0
    seconds = [rms(second) for second in np.split(noise, 20)]
    assert min(seconds) > 0.2 * max(seconds)


def test_equal_seeds_give_equal_noise() -> None:
    one, other = (steady_noise(16_000, np.random.default_rng(7)) for _ in range(2))
    assert (one == other).all()
