"""How far cues of real speech are from Praat's, on EmoDB: `python -m quality.praat` with AFFECTSTREAM_AUDIO.

Praat is GPL, so it is none of the project's dependencies: it wants an environment of its own, with the
package `praat-parselmouth` beside `affectstream[server]` and `soundfile`. Its defaults, 65 to 600 Hz.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import parselmouth

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_server.cues.catalogue import measure
from affectstream_server.cues.frames import HOP, WINDOW
from affectstream_server.cues.speech import Speech
from affectstream_server.cues.track import HIGHEST_HZ, LOWEST_HZ
from quality.clips import NoAudio, audio_folder, read_manifest, read_wave, to_pcm

_GROSS_SEMITONES: Final = 3.0
_SYLLABLES: Final = {
    "a01": 8,
    "a02": 9,
    "a04": 11,
    "a05": 18,
    "a07": 10,
    "b01": 15,
    "b02": 20,
    "b03": 24,
    "b09": 17,
    "b10": 14,
}
"""Of EmoDB's sentences as they are written, by the code in a clip's name."""


@dataclass(slots=True)
class Held:
    """What was measured, ours beside Praat's; pitch in semitones."""

    frames: list[np.ndarray] = field(default_factory=list)
    """Ours less Praat's where both are voiced."""
    praat_voiced: int = 0
    missed: int = 0
    """Frames that Praat alone calls voiced."""
    added: int = 0
    """Frames that only we do."""
    pairs: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {"pitch_median": [], "jitter": [], "hnr": [], "syllables": []}
    )
    """Ours and Praat's of a clip; of syllables, those of the text."""


def hear(held: Held, wave: np.ndarray, code: str) -> None:
    """Take in a clip."""
    speech = Speech(to_pcm(wave))
    cues = measure(speech)
    sound: Any = parselmouth.Sound(wave.astype(np.float64), SAMPLE_RATE_HZ)
    pitch = sound.to_pitch(HOP / SAMPLE_RATE_HZ, LOWEST_HZ, HIGHEST_HZ)
    middles_s = (np.arange(speech.frames.count) * HOP + WINDOW // 2) / SAMPLE_RATE_HZ
    theirs = np.array([pitch.get_value_at_time(at_s) for at_s in middles_s])
    voiced, track = np.isfinite(theirs), speech.track
    both = voiced & track.voiced
    held.praat_voiced += int(voiced.sum())
    held.missed += int((voiced & ~track.voiced).sum())
    held.added += int((track.voiced & ~voiced).sum())
    held.frames.append(12 * np.log2(track.hz[both] / theirs[both]))
    praat: dict[str, float] = {"pitch_median": float(np.median(theirs[voiced])) if voiced.any() else np.nan}
    points = parselmouth.praat.call([sound, pitch], "To PointProcess (cc)")
    praat["jitter"] = 100 * parselmouth.praat.call(points, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3)
    harmonicity = sound.to_harmonicity_cc(HOP / SAMPLE_RATE_HZ, LOWEST_HZ)
    praat["hnr"] = parselmouth.praat.call(harmonicity, "Get mean", 0, 0)
    for name, value in praat.items():
        if name in cues and np.isfinite(value):
            held.pairs[name].append((cues[name], value))
    if "speaking_rate" in cues:
        spoken = np.flatnonzero(speech.frames.spoken)
        seconds = (spoken[-1] - spoken[0] + 1) * HOP / SAMPLE_RATE_HZ
        held.pairs["syllables"].append((cues["speaking_rate"] * seconds, _SYLLABLES[code]))


def markdown(held: Held) -> Iterable[str]:
    """The figures, a line each."""
    frames = np.concatenate(held.frames)
    gross = np.abs(frames) > _GROSS_SEMITONES
    yield f"frames voiced in both that differ by more than 3 semitones: {100 * gross.mean():.1f} %"
    yield f"standard deviation of the others: {frames[~gross].std():.2f} semitones"
    yield f"of Praat's voiced frames missed: {100 * held.missed / held.praat_voiced:.1f} %"
    yield f"added to them: {100 * held.added / held.praat_voiced:.1f} %"
    ours, theirs = np.array(held.pairs.pop("pitch_median")).T
    off = np.abs(12 * np.log2(ours / theirs))
    yield f"median pitch of a clip: {np.median(off):.2f} semitones, nine of ten {np.quantile(off, 0.9):.2f}"
    for name, pairs in held.pairs.items():
        ours, theirs = np.array(pairs).T
        yield (
            f"{name}: {len(ours)} clips, correlation {np.corrcoef(ours, theirs)[0, 1]:.2f}, "
            f"difference {np.mean(ours - theirs):+.2f}, ratio {np.median(ours / theirs):.2f} "
            f"(nine of ten within {100 * np.quantile(np.abs(ours / theirs - 1), 0.9):.0f} %)"
        )


def main() -> int:
    """Print the figures; returns the exit status."""
    try:
        folder = audio_folder(None)
    except NoAudio as error:
        print(error, file=sys.stderr)
        return 2
    held = Held()
    clips = [clip for clip in read_manifest(folder) if clip.path.startswith("emodb/")]
    for clip in clips:
        hear(held, read_wave(folder / clip.path), clip.path.rpartition("/")[2][2:5])
    print(f"{len(clips)} clips of EmoDB, Praat {parselmouth.PRAAT_VERSION}")
    print("\n".join(markdown(held)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
