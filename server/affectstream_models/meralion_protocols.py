"""What is heard of the clips: whole utterances, pieces of 2 s, or utterances merged to 2-15 s.

The paper on MERaLiON-SER reports the last two for its own corpora and does not say, where this
was written, how it cut and merged; the readings here are stated so that figures can be compared
with one another, and no closer to the paper's than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.dataset import Clip, Waveform
from affectstream_models.errors import ModelsError

PIECE_S: Final = 2.0
LEAST_REST_S: Final = 1.0
MERGED_S: Final = (2.0, 15.0)


@dataclass(frozen=True, slots=True)
class Stretch(Clip):
    """A part of one clip, or several clips one after the other; reads as a clip does."""

    parts: tuple[tuple[Clip, float, float], ...] = field(default=())
    """Clip, start and end in seconds."""

    def read(self) -> Waveform:
        """The parts' audio, joined."""
        return np.concatenate([_cut(clip.read(), start_s, end_s) for clip, start_s, end_s in self.parts])


def whole(clips: Sequence[Clip]) -> list[Clip]:
    """Each clip as it is."""
    return list(clips)


def pieces(clips: Sequence[Clip]) -> list[Clip]:
    """Consecutive pieces of 2 s; a rest of less than 1 s is left out unless it is all there is."""
    return [piece for clip in clips for piece in _pieces(clip)]


def merged(clips: Sequence[Clip]) -> list[Clip]:
    """Neighbours with the same speaker and emotion, joined to at least 2 s and at most 15 s.

    A clip is added while the joined audio is under 2 s and it fits; a longer clip is cut at 15 s.
    What stays under 2 s at the end of a run is kept as it is.
    """
    shared = groupby(clips, key=lambda clip: (clip.corpus, clip.split, clip.speaker, clip.emotion))
    return [stretch for _, run in shared for stretch in _merged(list(run))]


PROTOCOLS: Final[dict[str, Callable[[Sequence[Clip]], list[Clip]]]] = {
    "whole": whole,
    "2s": pieces,
    "merged": merged,
}


def _pieces(clip: Clip) -> Iterator[Clip]:
    duration_s = _duration_s(clip)
    start_s = 0.0
    while start_s == 0.0 or duration_s - start_s >= LEAST_REST_S:
        end_s = min(start_s + PIECE_S, duration_s)
        yield _stretch([(clip, start_s, end_s)])
        start_s += PIECE_S


def _merged(run: Sequence[Clip]) -> Iterator[Clip]:
    least_s, most_s = MERGED_S
    held: list[tuple[Clip, float, float]] = []
    held_s = 0.0
    for clip in run:
        length_s = min(_duration_s(clip), most_s)
        if held and (held_s >= least_s or held_s + length_s > most_s):
            yield _stretch(held)
            held, held_s = [], 0.0
        held.append((clip, 0.0, length_s))
        held_s += length_s
    if held:
        yield _stretch(held)


def _stretch(parts: Sequence[tuple[Clip, float, float]]) -> Stretch:
    first, start_s, _ = parts[0]
    last, _, end_s = parts[-1]
    # A path of its own, since predictions are remembered by path.
    path = Path(f"{first.path}@{start_s:.2f}-{last.path.name}@{end_s:.2f}")
    return Stretch(
        path=path,
        corpus=first.corpus,
        split=first.split,
        emotion=first.emotion,
        speaker=first.speaker,
        gender=first.gender,
        train_ok=first.train_ok,
        language=first.language,
        dims=first.dims if len(parts) == 1 else {},
        parts=tuple(parts),
    )


def _cut(waveform: Waveform, start_s: float, end_s: float) -> Waveform:
    return waveform[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]


def _duration_s(clip: Clip) -> float:
    try:
        info = soundfile.info(clip.path)
    except (OSError, soundfile.SoundFileError) as error:
        raise ModelsError(f"cannot read {clip.path}: {error}") from error
    return float(info.frames / info.samplerate)
