"""Talks for tuning, made from training clips only: what they hold is known and nothing is judged on them.

``many``: speakers follow each other, often after a short gap. ``hesitant``: one speaker pauses inside
utterances where the voice dips anyway, and takes longer between them. ``long``: the same, with
utterances spliced from two clips, so that how long somebody spoke says less about whether they are done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np

from affectstream.contract import SAMPLE_RATE_HZ
from quality.clips import Clip, NoAudio, Wave, read_manifest, read_wave, to_pcm
from quality.noise import HUMAN_NOISES, recorded_noise, rms, steady_noise
from quality.talks import CLEAN, Span, Talk

Kind = Literal["many", "hesitant", "long"]
KINDS: Final[tuple[Kind, ...]] = ("many", "hesitant", "long")
SNR_DB: Final[tuple[float | None, ...]] = (None, 20.0, 10.0, 5.0, 0.0)
UTTERANCES: Final = 14
HESITATION_S: Final = (0.3, 0.8)
EDGE_S: Final = 0.35
"""No hesitation nearer to an utterance's edges."""
DIP_DB: Final = 18.0
"""A hesitation is put where the level is so far below the utterance's loud parts."""
ROOM_DB: Final = (-85.0, -62.0)
"""Level of the noise of the room in clean talks, against full scale."""
_FADE: Final = round(0.010 * SAMPLE_RATE_HZ)
_FRAME: Final = round(0.010 * SAMPLE_RATE_HZ)


class Generator:
    """Makes talks from a folder of recordings. Equal seeds give equal talks."""

    def __init__(
        self, folder: Path, speakers: frozenset[str] = frozenset(), *, steady_noise: bool = False
    ) -> None:
        """``speakers``: those alone; empty: every training speaker.

        ``steady_noise``: noisy talks get coloured noise that swells slowly instead of recorded noises,
        which are mostly short and loud (a dog, a clock).
        """
        self._folder = folder
        self._steady_noise = steady_noise
        clips = read_manifest(folder)
        speech = [
            clip
            for clip in clips
            if clip.path.startswith("emodb/train/") and (not speakers or clip.speaker in speakers)
        ]
        self._speakers: dict[str, list[Clip]] = {}
        for clip in speech:
            self._speakers.setdefault(clip.speaker, []).append(clip)
        self._noises = [c for c in clips if c.split == "noise-train" and c.label not in HUMAN_NOISES]
        if not self._speakers or not self._noises:
            raise NoAudio(f"no recordings: {folder} lists no emodb/train or no noise-train clips")

    def talks(self, kind: Kind, seed: int, per_level: int = 2) -> Iterator[Talk]:
        """``per_level`` talks at each level of noise."""
        for snr_db in SNR_DB:
            for number in range(per_level):
                level = CLEAN if snr_db is None else f"{snr_db:.0f} dB"
                key = [seed, KINDS.index(kind), number, 99 if snr_db is None else int(snr_db)]
                rng = np.random.default_rng(key)
                yield self._talk(f"{kind}{seed}.{number}", kind, level, snr_db, rng)

    def _talk(
        self, name: str, kind: Kind, level: str, snr_db: float | None, rng: np.random.Generator
    ) -> Talk:
        parts: list[Wave] = [_silence(rng.uniform(0.5, 1.5))]
        utterances: list[Span] = []
        hesitations: list[Span] = []
        position = len(parts[0])
        for clip in self._choose(kind, rng):
            wave = read_wave(self._folder / clip.path) * np.float32(10 ** (rng.uniform(-6, 3) / 20))
            pauses: list[Span] = []
            if kind == "long":
                wave = _spliced(wave, read_wave(self._folder / self._same_speaker(clip, rng).path))
            if kind != "many":
                wave, pauses = hesitate(wave, rng)
            utterances.append(Span(position, position + len(wave)))
            hesitations += [Span(position + pause.start, position + pause.end) for pause in pauses]
            gap = _silence(_gap_s(kind, rng))
            parts += [wave, gap]
            position += len(wave) + len(gap)
        speech = np.concatenate(parts)
        loud = np.concatenate([speech[u.start : u.end] for u in utterances])
        if snr_db is None:
            noise = rng.standard_normal(len(speech)).astype(np.float32)
            wanted = 10 ** (rng.uniform(*ROOM_DB) / 20)
        else:
            noise = self._noise(len(speech), rng)
            wanted = rms(loud) * 10 ** (-snr_db / 20)
        mixed = speech + noise * np.float32(wanted / rms(noise))
        mixed /= np.float32(max(1.0, float(np.abs(mixed).max())))
        return Talk(name, level, to_pcm(mixed), tuple(utterances), tuple(hesitations))

    def _choose(self, kind: Kind, rng: np.random.Generator) -> Iterator[Clip]:
        names = sorted(self._speakers)
        speaker = names[rng.integers(len(names))]
        for _ in range(UTTERANCES):
            if kind == "many":
                others = [name for name in names if name != speaker]
                speaker = others[rng.integers(len(others))]
            clips = self._speakers[speaker]
            yield clips[rng.integers(len(clips))]

    def _same_speaker(self, clip: Clip, rng: np.random.Generator) -> Clip:
        clips = self._speakers[clip.speaker]
        return clips[rng.integers(len(clips))]

    def _noise(self, length: int, rng: np.random.Generator) -> Wave:
        if self._steady_noise:
            return steady_noise(length, rng)
        return recorded_noise(self._folder, self._noises, length, rng)


def hesitate(wave: Wave, rng: np.random.Generator) -> tuple[Wave, list[Span]]:
    """Put one pause into an utterance, or two into one above 2.5 s, where its level dips."""
    places = _dips(wave)
    wanted = 2 if len(wave) > 2.5 * SAMPLE_RATE_HZ else 1
    pieces: list[Wave] = []
    pauses: list[Span] = []
    chosen = sorted(rng.permutation(len(places))[:wanted].tolist())
    last = position = 0
    for place in (places[index] for index in chosen):
        before = _faded(wave[last:place], start=bool(pauses), end=True)
        gap = _silence(rng.uniform(*HESITATION_S))
        pieces += [before, gap]
        position += len(before)
        pauses.append(Span(position, position + len(gap)))
        position += len(gap)
        last = place
    pieces.append(_faded(wave[last:], start=bool(pauses), end=False))
    return np.concatenate(pieces), pauses


def _spliced(first: Wave, second: Wave) -> Wave:
    """The beginning of one utterance and the end of another, joined where both dip."""
    until, since = max(_dips(first), default=0), min(_dips(second), default=0)
    return np.concatenate(
        [_faded(first[:until], start=False, end=True), _faded(second[since:], start=bool(until), end=False)]
    )


def _dips(wave: Wave) -> Sequence[int]:
    """Positions where the level is `DIP_DB` below the loud parts for at least 30 ms, 0.35 s apart."""
    frames = wave[: len(wave) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level_db = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-9)
    smooth = np.convolve(level_db, np.ones(3) / 3, mode="same")
    low = smooth < np.percentile(smooth, 90) - DIP_DB
    edge = round(EDGE_S * SAMPLE_RATE_HZ / _FRAME)
    places: list[int] = []
    for index in np.argsort(smooth):
        inside = edge <= index < len(smooth) - edge
        if inside and low[index - 1 : index + 2].all():
            place = int(index) * _FRAME + _FRAME // 2
            if all(abs(place - other) >= EDGE_S * SAMPLE_RATE_HZ for other in places):
                places.append(place)
    return places


def _gap_s(kind: Kind, rng: np.random.Generator) -> float:
    """Seconds between two utterances."""
    if kind != "many":
        return float(rng.uniform(1.0, 2.5))
    low, high = ((0.08, 0.3), (0.3, 0.6), (0.6, 2.0))[rng.choice(3, p=(0.3, 0.25, 0.45))]
    return float(rng.uniform(low, high))


def _faded(wave: Wave, *, start: bool, end: bool) -> Wave:
    wave = wave.copy()
    ramp = np.linspace(0, 1, min(_FADE, len(wave)), dtype=np.float32)
    if start:
        wave[: len(ramp)] *= ramp
    if end:
        wave[len(wave) - len(ramp) :] *= ramp[::-1]
    return wave


def _silence(seconds: float) -> Wave:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
