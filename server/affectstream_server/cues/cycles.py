"""Cycles: the single periods of a voice, each held against the next.

I. R. Titze and H. Liang, "Comparison of F0 extraction methods for high-precision voice perturbation
measurements", JSHR 36, 1993: waveform matching measures a period more exactly than peaks and zero crossings.
Windows of one period are laid where its energy is; the shift at which the next one is most like it is the
period, and how like it is then says how much of it is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_server.cues.frames import HOP, WINDOW, Floats, Frames, Mask
from affectstream_server.cues.track import Track

_RATE_HZ: Final = 8_000
_LEAST_FRAMES: Final = 6
"""Of a voiced stretch that is looked at: a voice needs some periods to settle."""
_REACH: Final = 0.15
"""How far a period may be from what the track says."""
_ALIKE: Final = 0.5
_NEIGHBOURS: Final = 5
_TINY: Final = np.float32(1e-3)
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Cycles:
    """Neighbouring periods of a voice that could be matched."""

    frame: Places
    """The frame in which each lies, ``[n]``."""
    period_s: Floats
    """Length ``[n]``."""
    power: Floats
    """Of each, ``[n]``, in any unit."""
    gain_db: Floats
    """Level of the next over this one, ``[n]``."""
    likeness: Floats
    """Correlation with the next, 0.5 to 1, ``[n]``."""
    followed: Mask
    """The next was matched, too: their lengths can be compared; ``[n]``."""


def cycles(frames: Frames, track: Track) -> Cycles | None:
    """The cycles of an utterance; None where no voiced stretch is long enough."""
    stretches = _stretches(track.voiced)
    if not len(stretches):
        return None
    wave = soxr.resample(frames.audio, SAMPLE_RATE_HZ, _RATE_HZ)
    middles = (np.arange(frames.count) * HOP + WINDOW // 2) * _RATE_HZ / SAMPLE_RATE_HZ
    hz = np.interp(np.arange(len(wave)), middles[track.voiced], track.hz[track.voiced])
    marks, owners = _marks(np.cumsum(hz) / _RATE_HZ, middles[stretches].astype(np.intp))
    period = _RATE_HZ / hz[marks]
    half = int(period.max() / 2) + 1
    inside = (marks >= 3 * half) & (marks < len(wave) - 3 * half)
    marks, owners, period = marks[inside], owners[inside], period[inside]
    if len(marks) < _NEIGHBOURS:
        return None
    return _matched(wave, _on_energy(wave, marks, period, half), owners, period, half)


def _stretches(voiced: Mask) -> Places:
    """First and last frame of each voiced stretch, ``[stretches, 2]``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]]).astype(np.int8)))
    bounds = edges.reshape(-1, 2) - np.array([0, 1])
    long: Places = bounds[bounds[:, 1] - bounds[:, 0] + 1 >= _LEAST_FRAMES]
    return long


def _marks(phase: Floats, stretches: Places) -> tuple[Places, Places]:
    """A place in each period, and the stretch that it is of."""
    marks: list[Places] = []
    owners: list[Places] = []
    for number, (start, end) in enumerate(stretches):
        whole = np.arange(np.ceil(phase[start]), np.floor(phase[end]))
        marks.append((np.searchsorted(phase[start:end], whole) + start).astype(np.intp))
        owners.append(np.full(len(whole), number))
    return np.concatenate(marks), np.concatenate(owners)


def _on_energy(wave: Floats, marks: Places, period: Floats, half: int) -> Places:
    """The marks moved to where most energy of the period is, smoothly over neighbours."""
    offsets = np.arange(-half, half + 1)
    turn = offsets / period[:, None]
    energy = wave[marks[:, None] + offsets] ** 2 * (np.abs(turn) <= 0.5)
    pull = np.convolve((energy * np.exp(2j * np.pi * turn)).sum(axis=1), np.ones(_NEIGHBOURS), "same")
    moved: Places = np.rint(marks + np.angle(pull) / (2 * np.pi) * period).astype(np.intp)
    return moved


def _matched(wave: Floats, marks: Places, owners: Places, period: Floats, half: int) -> Cycles | None:
    first, second, length = marks[:-1], marks[1:], period[:-1]
    reach = int(_REACH * period.max()) + 2
    offsets, shifts = np.arange(-half, half + 1), np.arange(-reach, reach + 1)
    taken = (np.abs(offsets) <= length[:, None] / 2).astype(np.float32)
    one = wave[first[:, None] + offsets] * taken
    far = second[:, None] + np.arange(-half - reach, half + reach + 1)
    others = np.lib.stride_tricks.sliding_window_view(wave[np.clip(far, 0, len(wave) - 1)], len(offsets), 1)
    power = (one * one).sum(axis=1) + _TINY
    so_far = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    start = second[:, None] + shifts - (length[:, None] / 2).astype(np.intp)
    end = second[:, None] + shifts + (length[:, None] / 2).astype(np.intp) + 1
    other_power = so_far[np.clip(end, 0, len(wave))] - so_far[np.clip(start, 0, len(wave))] + _TINY
    alike = np.einsum("pw,psw->ps", one, others) / np.sqrt(power[:, None] * other_power)
    rows = np.arange(len(first))
    best = np.where(np.abs(shifts) <= _REACH * length[:, None] + 1, alike, -1)[:, 1:-1].argmax(axis=1) + 1
    before, at, after = (alike[rows, best + step] for step in (-1, 0, 1))
    bend = np.minimum(before - 2 * at + after, -1e-9)
    shift = np.clip(0.5 * (before - after) / bend, -1, 1)
    found_s = (second - first + shifts[best] + shift) / _RATE_HZ
    likeness = np.minimum(at - 0.25 * (before - after) * shift, 1)
    good = (owners[1:] == owners[:-1]) & (likeness > _ALIKE)
    good &= np.abs(found_s * _RATE_HZ / length - 1) < 2 * _REACH
    if not good.any():
        return None
    frame = np.clip(np.rint((first * (SAMPLE_RATE_HZ / _RATE_HZ) - WINDOW / 2) / HOP), 0, None)
    followed = np.append(good[1:] & (owners[1:-1] == owners[2:]), False)
    gain_db = 10 * np.log10(other_power[rows, best] / power)
    return Cycles(
        frame=frame.astype(np.intp)[good],
        period_s=found_s[good],
        power=power[good],
        gain_db=gain_db[good],
        likeness=likeness[good],
        followed=followed[good],
    )
