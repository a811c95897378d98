"""How often twenty clips teach a probe something.

``AFFECTSTREAM_AUDIO=DIR .venv-models/bin/python -m quality.probes``: clips of EmoDB's training and dev
speakers, whole speakers left out in cross-validation; random labels, in which there is nothing to learn,
and pairs of emotions that the bundled model was never taught.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from rich.progress import track

from affectstream_models.metrics import Reals
from affectstream_models.predictor import OnnxPredictor
from affectstream_models.probe import BUNDLED
from affectstream_models.probe_fit import Validation, validate
from quality.clips import Clip, NoAudio, audio_folder, read_manifest, read_wave, to_pcm

PER_LABEL: Final = 10
RANDOM_TRIES: Final = 300
PAIR_TRIES: Final = 60
UNTAUGHT: Final = ("fear", "boredom", "disgust")


def main() -> int:
    """Print the table; returns the exit status."""
    try:
        folder = audio_folder(None)
    except NoAudio as error:
        print(error, file=sys.stderr)
        return 2
    clips = [
        clip
        for clip in read_manifest(folder)
        if clip.path.startswith("emodb/") and clip.split in ("train", "dev")
    ]
    embeddings = _hear(folder, clips)
    speakers = np.array([clip.speaker for clip in clips])
    names = np.array([clip.label for clip in clips])
    rng = np.random.default_rng(0)
    columns = {"random labels": [(np.arange(len(clips)),) * 2] * RANDOM_TRIES} | {
        f"{first}, {second}": [(np.flatnonzero(names == first), np.flatnonzero(names == second))] * PAIR_TRIES
        for first, second in combinations(UNTAUGHT, 2)
    }
    print("| labels | tries | passed | mean recall |\n| --- | --- | --- | --- |")
    for title, tries in columns.items():
        found = [
            _attempt(embeddings, speakers, *pair, rng)
            for pair in track(tries, description=title, disable=not sys.stderr.isatty())
        ]
        dealt = [one for one in found if one is not None]
        passed = sum(one.better_than_chance for one in dealt) / len(found)
        recall = np.mean([one.uar for one in dealt])
        print(f"| {title} | {len(found)} | {passed:.2f} | {recall:.3f} |", flush=True)
    return 0


def _hear(folder: Path, clips: list[Clip]) -> Reals:
    predictor = OnnxPredictor(BUNDLED)
    return np.array([predictor.embed(to_pcm(read_wave(folder / clip.path))) for clip in clips])


def _attempt(
    embeddings: Reals,
    speakers: np.ndarray[tuple[int], np.dtype[np.str_]],
    first: np.ndarray[tuple[int], np.dtype[np.int64]],
    second: np.ndarray[tuple[int], np.dtype[np.int64]],
    rng: np.random.Generator,
) -> Validation | None:
    """One draw of ten clips of each label; None where the speakers cannot be dealt into folds."""
    one = rng.choice(first, PER_LABEL, replace=False)
    other = rng.choice(np.setdiff1d(second, one), PER_LABEL, replace=False)
    drawn = np.concatenate([one, other])
    labels = np.repeat([0, 1], PER_LABEL)
    return validate(embeddings[drawn], labels, speakers[drawn], 2)


if __name__ == "__main__":
    sys.exit(main())
