"""Quality: how far an utterance's speech stands above its background, and how much of it is clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from affectstream_server.timeline import samples_of_ms

if TYPE_CHECKING:
    from affectstream_server.stages.decode import Samples

LEAST_SNR_DB: Final = -20.0
"""What is reported where no speech stands out at all."""

FULL_SCALE: Final = 32_767
_FRAME: Final = samples_of_ms(20)
_LEAST_FRAMES: Final = 10
_QUIETEST: Final = 0.1
"""Share of the frames that are taken for background: speech has as much in its pauses and closures."""
_FLUCTUATION: Final = 1.25
"""Mean power of noise over that of its quietest frames; from rain, engines and made noise in known speech."""
_SILENT_POWER: Final = 0.1
"""In squared steps of 16-bit audio: keeps digital silence finite."""


def clipped_ratio(audio: Samples) -> float:
    """Share of the samples at full scale or beyond, 0..1; audio is int16 ``[n]``."""
    if not audio.size or (audio.max() < FULL_SCALE and audio.min() > -FULL_SCALE):
        return 0.0
    return float(np.count_nonzero((audio >= FULL_SCALE) | (audio <= -FULL_SCALE)) / audio.size)


def snr_db(audio: Samples) -> float | None:
    """Mean level of speech over that of the background in dB, about -20 to 60; audio is int16 ``[n]``.

    The background is what the quietest tenth of the utterance holds. Noise that comes and goes is
    underestimated. None for less than 200 ms, and for digital silence.
    """
    count = len(audio) // _FRAME
    if count < _LEAST_FRAMES:
        return None
    frames = audio[: count * _FRAME].reshape(count, _FRAME).astype(np.float32)
    frames -= frames.mean()
    power = np.einsum("nt,nt->n", frames, frames) / _FRAME
    mean = float(power.mean())
    if mean < _SILENT_POWER:
        return None
    quiet = max(1, round(_QUIETEST * count))
    noise = _FLUCTUATION * float(np.partition(power, quiet - 1)[:quiet].mean()) + _SILENT_POWER
    speech = max(mean - noise, noise * 10 ** (LEAST_SNR_DB / 10))
    return float(10 * np.log10(speech / noise))
