"""What words add to the voice: clips of acted emotions paired with sentences written for the same emotion.

Every clip is paired with every sentence of its emotion. EmoDB's own sentences are neutral and German, and
RAVDESS's are two; so the pairs are made here, and nobody ever said them.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream_server.scoring.embedded import EmbeddedScorer
from affectstream_server.settings_fusion import FusionSettings
from affectstream_server.stages.fuse import LexiconFusion, open_fusion
from quality.clips import NoAudio, read_wave, to_pcm
from quality.unheard import LABELS, speakers

TEXTS: Final = Path(__file__).parent / "fusion_texts.tsv"
STRENGTHS: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_RESAMPLES: Final = 1_000

Voices = Mapping[str, NDArray[np.float32]]
"""Emotion → what the voice's model says of its clips, ``[clips, labels]``."""
Texts = Mapping[str, Sequence[str]]
"""Emotion → sentences written for it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A share of 0..1 with its 95 %, by a bootstrap over clips and over sentences."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Gain:
    """Mean recall of the four emotions, and the log loss of the true one."""

    voice: Figure
    fused: Figure
    difference: Figure
    log_loss: tuple[float, float]
    """By voice, and fused."""
    recalls: Mapping[str, tuple[float, float]]
    """Of each emotion, by voice and fused."""


def read_texts(split: str, path: Path = TEXTS) -> Texts:
    """The sentences of ``dev``, on which the weight was chosen, or of ``test``."""
    found: dict[str, list[str]] = {label: [] for label in LABELS}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == split:
                found[row["emotion"]].append(row["text"])
    return found


def unheard_voices(table: Path) -> Voices:
    """Training speakers, each heard by a model that never did. Raises `NoAudio` where there is no table."""
    found: dict[str, list[list[float]]] = {label: [] for label in LABELS}
    for clips in speakers(table).values():
        for label, mine in clips.items():
            found[label] += [[clip.probabilities[name] for name in LABELS] for clip in mine]
    return {label: np.array(rows, np.float32) for label, rows in found.items()}


def heard_voices(folder: Path, corpus: str, split: str) -> Voices:
    """What the bundled model says of the clips of a part of the manifest. Raises `NoAudio`."""
    found: dict[str, list[NDArray[np.float32]]] = {label: [] for label in LABELS}
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["emotion"] in LABELS]

    async def hear() -> None:
        scorer = EmbeddedScorer()
        try:
            for row in rows:
                if (row["corpus"], row["split"]) == (corpus, split):
                    samples = to_pcm(read_wave(folder / row["path"]))
                    score = await scorer.score(row["path"], samples, 30.0)
                    found[row["emotion"]].append(score.probabilities)
        finally:
            await scorer.close()

    asyncio.run(hear())
    if not all(found.values()):
        raise NoAudio(f"the manifest in {folder} has no clips of every emotion in {corpus}/{split}")
    return {label: np.array(probabilities) for label, probabilities in found.items()}


def lexicon(strength: float | None = None) -> LexiconFusion:
    """The server's fusion, with another strength where one is given."""
    fusion = open_fusion(FusionSettings(text="lexicon"))
    assert isinstance(fusion, LexiconFusion)  # noqa: S101 - as asked
    return fusion if strength is None else LexiconFusion(fusion.valence, strength)


def gain(
    voices: Voices,
    texts: Texts,
    fusion: LexiconFusion,
    *,
    says: Callable[[str], str] = lambda emotion: emotion,
) -> Gain:
    """With and without words. ``says``: whose sentences a clip of this emotion is paired with."""
    alone, fused, losses = {}, {}, {}
    for place, label in enumerate(LABELS):
        voice, sentences = voices[label], texts[says(label)]
        both = np.array([[_fused(one, text, fusion) for text in sentences] for one in voice])
        alone[label] = (voice.argmax(axis=1) == place)[:, None].repeat(len(sentences), axis=1).astype(float)
        fused[label] = (both.argmax(axis=2) == place).astype(float)
        losses[label] = tuple(-np.log(p[..., place] + 1e-9).mean() for p in (voice, both))
    drawn = np.array(list(_resampled(alone, fused)))
    means = [np.mean([shares[label].mean() for label in LABELS]) for shares in (alone, fused)]
    return Gain(
        voice=_figure(means[0], drawn[:, 0]),
        fused=_figure(means[1], drawn[:, 1]),
        difference=_figure(means[1] - means[0], drawn[:, 1] - drawn[:, 0]),
        log_loss=(
            float(np.mean([losses[label][0] for label in LABELS])),
            float(np.mean([losses[label][1] for label in LABELS])),
        ),
        recalls={label: (float(alone[label].mean()), float(fused[label].mean())) for label in LABELS},
    )


def understood(texts: Texts, fusion: LexiconFusion) -> dict[str, tuple[float, float]]:
    """Of each emotion's sentences the share that the lexicon finds positive, and negative."""
    found = {}
    for label, sentences in texts.items():
        valences = np.array([fusion.valence(text) for text in sentences])
        found[label] = (float((valences > 0).mean()), float((valences < 0).mean()))
    return found


def _fused(voice: NDArray[np.float32], text: str, fusion: LexiconFusion) -> NDArray[np.float32]:
    both = fusion.fuse(text, voice, LABELS)
    return voice if both is None else both.probabilities


def _resampled(*shares: Mapping[str, NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    for _ in range(_RESAMPLES):
        means = np.zeros(len(shares))
        for label in LABELS:
            clips, sentences = shares[0][label].shape
            drawn = np.ix_(rng.integers(clips, size=clips), rng.integers(sentences, size=sentences))
            means += [one[label][drawn].mean() / len(LABELS) for one in shares]
        yield means


def _figure(value: float, drawn: NDArray[np.float64]) -> Figure:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(float(value), float(low), float(high))


def markdown(folder: Path, table: Path) -> str:
    """The whole measurement: the strengths on dev, then the test with the one that ships."""
    chosen_on, texts = unheard_voices(table), read_texts("dev")
    lines = ["| strength | mean recall | log loss |", "| --- | --- | --- |"]
    for strength in STRENGTHS:
        found = gain(chosen_on, texts, lexicon(strength))
        lines.append(f"| {strength:g} | {found.fused.value:.3f} | {found.log_loss[1]:.3f} |")
    shipped, written = lexicon(), read_texts("test")
    lines += ["", "| sentences of | found positive | negative |", "| --- | --- | --- |"]
    lines += [
        f"| {label} | {up:.2f} | {down:.2f} |" for label, (up, down) in understood(written, shipped).items()
    ]
    lines += [
        "",
        "| clips | words of | voice | voice and words | difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    after = dict(zip(LABELS, (*LABELS[1:], LABELS[0]), strict=True))
    recalls = ["", "| clips | emotion | voice | voice and words |", "| --- | --- | --- | --- |"]
    for corpus in ("emodb", "ravdess"):
        voices = heard_voices(folder, corpus, "test")
        for whose, says in (("the same emotion", lambda e: e), ("another", after.__getitem__)):
            found = gain(voices, written, shipped, says=says)
            lines.append(f"| {corpus}/test | {whose} | {found.voice} | {found.fused} | {found.difference} |")
            if whose == "the same emotion":
                recalls += [
                    f"| {corpus}/test | {label} | {a:.3f} | {b:.3f} |"
                    for label, (a, b) in found.recalls.items()
                ]
    return "\n".join([*lines, *recalls]) + "\n"
