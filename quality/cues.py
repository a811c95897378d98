"""How far cues are from the truth, on made voices in made noise of falling distance.

A cue's own property goes over its range; pitch, level and the noise's colour are any, and the rest is as in a
calm voice. "All at once" lets everything go over its range: what one property does to the cue of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from affectstream_server.cues.catalogue import CUES, WITHHELD, Cue, measure
from affectstream_server.cues.speech import Speech
from quality.clips import to_pcm
from quality.listen import Progress
from quality.noise import steady_noise
from quality.voices import Made, Voice, make

NOISES_DB: Final = (60, 30, 25, 20, 15, 10, 5)
"""Level of the voice over the noise."""
LEAST_GIVEN: Final = 0.25
"""Share of the voices for which a cue must be given, for its error to count."""
ALL: Final = CUES + WITHHELD
VOICES: Final = 60
"""Of each kind: half a held vowel, half syllables."""

_RANGES: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "pitch_median": {"hz": (80, 400)},
    "pitch_range": {"swing_semitones": (0.5, 6)},
    "energy_mean": {},
    "energy_over_noise": {},
    "energy_range": {"dip_db": (6, 20)},
    "speaking_rate": {"syllables_hz": (2, 7)},
    "jitter": {"jitter": (0.002, 0.02)},
    "shimmer": {"shimmer": (0.01, 0.1)},
    "hnr": {"hnr_db": (5, 25)},
    "spectral_tilt": {"tilt_db": (-16, -7)},
}
_EVERY: Final = {name: bounds for ranges in _RANGES.values() for name, bounds in ranges.items()}
_SYLLABLES_ONLY: Final = ("energy_range", "speaking_rate")


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one cue at one noise."""

    voices: int
    errors: tuple[float, ...]
    """Measured less true; of a ratio, as a share of the true value. Where it was given."""

    @property
    def given(self) -> float:
        """Share of the voices for which it was given."""
        return len(self.errors) / self.voices

    @property
    def middle(self) -> float:
        """Median of the error's size."""
        return float(np.median(np.abs(self.errors)))

    @property
    def most(self) -> float:
        """90th percentile of the error's size."""
        return float(np.quantile(np.abs(self.errors), 0.9))


Rows = dict[str, dict[int, Errors]]


def judge(voices: int = VOICES, seed: int = 1, progress: Progress | None = None) -> tuple[Rows, Rows]:
    """Errors by cue and noise: with the cue's own property going over its range, and with all at once."""
    alone = Rows()
    for number, cue in enumerate(ALL):
        alone[cue.name] = judge_one(cue, voices, seed)
        if progress is not None:
            progress(number + 1, len(ALL) + 1)
    return alone, judge_together(voices, seed)


def judge_one(cue: Cue, voices: int = VOICES, seed: int = 1) -> dict[int, Errors]:
    """Errors of one cue by noise, its own property going over its range."""
    return _errors((cue,), _RANGES[cue.name], voices, np.random.default_rng(seed))[cue.name]


def judge_together(voices: int = VOICES, seed: int = 1) -> Rows:
    """Errors of every cue by noise, with all going over its range at once."""
    return _errors(ALL, _EVERY, voices, np.random.default_rng(seed))


def markdown(rows: Rows, cues: tuple[Cue, ...] = ALL) -> str:
    """Median and 90th percentile of each error; "-" where it is given for too few voices."""
    heads = ("clean", *(f"{noise_db} dB" for noise_db in NOISES_DB[1:]))
    lines = [f"| cue | stated | {' | '.join(heads)} |", "| --- " * (len(heads) + 2) + "|"]
    for cue in cues:
        cells = [_cell(cue, rows[cue.name][noise_db]) for noise_db in NOISES_DB]
        lines.append(f"| `{cue.name}` | {_amount(cue, cue.error)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(cue: Cue, errors: Errors) -> str:
    if errors.given < LEAST_GIVEN:
        return "-"
    return f"{_amount(cue, errors.middle, unit=False)} ({_amount(cue, errors.most, unit=False)})"


def _amount(cue: Cue, error: float, *, unit: bool = True) -> str:
    if cue.is_ratio:
        return f"{100 * error:.1f}" + (" % of it" if unit else "")
    return f"{error:.2f}" + (f" {cue.unit}" if unit else "")


def _errors(
    cues: Sequence[Cue], ranges: dict[str, tuple[float, float]], voices: int, rng: np.random.Generator
) -> Rows:
    found: dict[str, dict[int, list[float]]] = {cue.name: {noise: [] for noise in NOISES_DB} for cue in cues}
    made_for = dict.fromkeys(found, 0)
    for number in range(voices):
        syllables = number % 2 == 1 or cues[0].name in _SYLLABLES_ONLY
        voice = _voice(ranges, syllables=syllables, draw=rng.uniform)
        made = make(voice, rng)
        asked = [cue for cue in cues if cue.name in made.truth]
        for cue in asked:
            made_for[cue.name] += 1
        for noise_db in NOISES_DB:
            values = measure(_heard(made, voice, noise_db, rng), cues=asked)
            for cue in asked:
                if cue.name in values:
                    true = noise_db if cue.name == "energy_over_noise" else made.truth[cue.name]
                    error = values[cue.name] / true - 1 if cue.is_ratio else values[cue.name] - true
                    found[cue.name][noise_db].append(error)
    return {
        name: {noise: Errors(made_for[name], tuple(errors)) for noise, errors in by_noise.items()}
        for name, by_noise in found.items()
    }


def _voice(
    ranges: dict[str, tuple[float, float]], *, syllables: bool, draw: Callable[[float, float], float]
) -> Voice:
    """A calm voice of any pitch and level, but for what ``ranges`` names."""
    calm = Voice(
        hz=float(2 ** draw(np.log2(80), np.log2(300))),
        level_db=float(draw(-40, -18)),
        syllables_hz=float(draw(3, 5)) if syllables else 0.0,
    )
    chosen = {
        name: float(draw(low, high))
        for name, (low, high) in ranges.items()
        if syllables or name not in ("syllables_hz", "dip_db")
    }
    return replace(calm, **chosen)


def _heard(made: Made, voice: Voice, noise_db: int, rng: np.random.Generator) -> Speech:
    noise = steady_noise(len(made.wave), rng) * np.float32(10 ** ((voice.level_db - noise_db) / 20))
    return Speech(to_pcm(made.wave + noise))
