"""Conditions that a model is judged under: the clip as it is, through a telephone, in noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from affectstream_models.augment import Samples, add_noise, telephone
from affectstream_models.dataset import Waveform

CLEAN = "clean"
TELEPHONE = "telephone"
SNRS_DB = (20, 10, 5, 0)

Condition = Callable[[Waveform, int], Waveform]
"""Takes a clip and its place among the clips: noise differs from clip to clip, not from run to run."""


def conditions(noises: Sequence[Waveform], wanted: Sequence[str]) -> Mapping[str, Condition]:
    """The conditions by name: `clean`, `telephone`, `20dB`, `10dB`, `5dB`, `0dB`."""
    known: dict[str, Condition] = {CLEAN: lambda clip, _: clip, TELEPHONE: lambda clip, _: _telephone(clip)}
    if noises:
        known |= {f"{snr_db}dB": _in_noise(noises, snr_db) for snr_db in SNRS_DB}
    return {name: known[name] for name in wanted if name in known}


def _telephone(clip: Waveform) -> Waveform:
    return _to_int16(telephone(_to_float(clip)))


def _in_noise(noises: Sequence[Waveform], snr_db: int) -> Condition:
    def condition(clip: Waveform, place: int) -> Waveform:
        noise = np.resize(_to_float(noises[place % len(noises)]), len(clip))
        return _to_int16(add_noise(_to_float(clip), noise, snr_db=snr_db))

    return condition


def _to_float(clip: Waveform) -> Samples:
    return clip.astype(np.float32) / 32768


def _to_int16(wave: Samples) -> Waveform:
    peak = max(1.0, float(np.abs(wave).max()))
    return np.asarray(np.round(wave / peak * 32767), dtype=np.int16)
