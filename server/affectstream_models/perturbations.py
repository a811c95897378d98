"""What an audit does to a clip: one thing at a time, to a known degree.

Nothing is drawn but which stretch of which noise, and that from the clip's place: two runs hear the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import soundfile
from scipy import signal

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.augment import Samples, add_noise, limit_band
from affectstream_models.conditions import Condition
from affectstream_models.dataset import Waveform
from affectstream_models.errors import ModelsError
from affectstream_models.voices import change_tempo, shift_formants, shift_pitch

VERSION: Final = "1"
"""Changes when a perturbation does: what was heard under another is heard again."""

_TELEPHONE_HZ: Final = 8_000
_LEAST_KBPS: Final = 6
_MOST_KBPS: Final = 256
"""Bit rates of the scale that libsndfile's compression level runs along."""

Change = Callable[[Samples], Samples]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One thing done to a clip, to one degree."""

    kind: str
    """Such as `pitch`."""
    degree: float
    """Where it stands on the kind's scale."""
    unit: str
    apply: Condition
    """Takes a clip and its place among the clips."""

    @property
    def name(self) -> str:
        """Such as `pitch +4 semitones`; unique."""
        sign = "+" if self.kind in ("pitch", "level") and self.degree > 0 else ""
        unit = self.unit if self.unit in ("%", "×") else f" {self.unit}"
        return f"{self.kind} {sign}{self.degree:g}{unit}"


def perturbations(noises: Sequence[Waveform]) -> list[Perturbation]:
    """All of them, in the order of the report; noise needs `noises`, Opus a libsndfile that writes it."""
    return [
        *(_made("pitch", step, "semitones", partial(shift_pitch, semitones=step)) for step in (-4, -2, 2, 4)),
        *(_made("formants", by, "×", partial(shift_formants, factor=by)) for by in (0.85, 0.93, 1.08, 1.18)),
        *(_made("speed", by, "×", partial(change_tempo, factor=by)) for by in (0.75, 0.9, 1.1, 1.25)),
        *(_made("low-pass", hz, "Hz", partial(_low_pass, high_hz=hz)) for hz in (6_000, 3_400, 2_000)),
        _made("telephone band", 300, "to 3400 Hz", partial(limit_band, low_hz=300, high_hz=3_400)),
        _made("mu-law", 64, "kbit/s", mu_law),
        *(_made("Opus", kbps, "kbit/s", partial(opus, kbps=kbps)) for kbps in (24, 12, 6) if has_opus()),
        *(_noisy(noises, snr_db) for snr_db in (20, 10, 5, 0) if noises),
        *(_made("level", db, "dB", partial(amplify, db=db)) for db in (-40, -20, -10, 10)),
        *(_made("clipping", share, "%", partial(clip, share=share / 100)) for share in (0.1, 1, 5)),
    ]


def has_opus() -> bool:
    """Whether the installed libsndfile writes Opus."""
    return "OPUS" in soundfile.available_subtypes("OGG")


def mu_law(wave: Samples) -> Samples:
    """G.711 µ-law at 8 kHz: 8 bits, at the level that it has."""
    narrow = np.clip(signal.resample_poly(wave, 1, SAMPLE_RATE_HZ // _TELEPHONE_HZ), -1, 1)
    decoded = _through(narrow.astype(np.float32), _TELEPHONE_HZ, format="WAV", subtype="ULAW")
    wide = signal.resample_poly(decoded, SAMPLE_RATE_HZ // _TELEPHONE_HZ, 1)
    return np.asarray(wide[: len(wave)], dtype=np.float32)


def opus(wave: Samples, *, kbps: float) -> Samples:
    """Opus in Ogg at about this bit rate, of 6 to 256 kbit/s."""
    level = 1 - (kbps - _LEAST_KBPS) / (_MOST_KBPS - _LEAST_KBPS)
    return _through(wave, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS", compression_level=level)


def amplify(wave: Samples, *, db: float) -> Samples:
    """Louder or softer; what passes full scale is clipped where it becomes 16 bits again."""
    return np.asarray(wave * 10 ** (db / 20), dtype=np.float32)


def clip(wave: Samples, *, share: float) -> Samples:
    """The loudest `share` of the samples, 0..1, cut off, and the rest brought up to full scale."""
    ceiling = float(np.quantile(np.abs(wave), 1 - share)) or 1.0
    return np.asarray(np.clip(wave / ceiling, -1, 1), dtype=np.float32)


def _low_pass(wave: Samples, *, high_hz: float) -> Samples:
    return limit_band(wave, low_hz=1, high_hz=high_hz)


def _made(kind: str, degree: float, unit: str, change: Change) -> Perturbation:
    return Perturbation(kind, degree, unit, lambda waveform, _: _to_int16(change(_to_float(waveform))))


def _noisy(noises: Sequence[Waveform], snr_db: float) -> Perturbation:
    def apply(waveform: Waveform, place: int) -> Waveform:
        noise = np.resize(_to_float(noises[place % len(noises)]), len(waveform))
        return _to_int16(add_noise(_to_float(waveform), noise, snr_db=snr_db))

    return Perturbation("noise", snr_db, "dB", apply)


def _through(wave: Samples, rate_hz: int, **options: object) -> Samples:
    """Written by libsndfile and read again."""
    file = io.BytesIO()
    try:
        soundfile.write(file, wave, rate_hz, **options)
        file.seek(0)
        decoded, _ = soundfile.read(file, dtype="float32")
    except (soundfile.SoundFileError, TypeError) as error:
        raise ModelsError(f"libsndfile cannot write {options['subtype']}: {error}") from error
    return np.asarray(decoded, dtype=np.float32)


def _to_float(waveform: Waveform) -> Samples:
    return waveform.astype(np.float32) / 32768


def _to_int16(wave: Samples) -> Waveform:
    """At the level it has: an audit of levels must not scale."""
    return np.asarray(np.clip(np.round(wave * 32768), -32768, 32767), dtype=np.int16)
