"""Fuse: what was said, weighed in beside how it was said, after the model and never inside it.

Another fusion joins by satisfying `TextFusion`: it gets the words of one utterance and the voice's
distribution, and gives the distribution of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from affectstream_server.section import SettingsError
from affectstream_server.settings_fusion import FusionSettings

Distribution = NDArray[np.float32]
"""``[labels]``, 0..1, summing to 1."""

STRENGTH: Final = 1.0
"""Weight of certain words beside a voice as certain. Chosen on the dev speaker: docs/fusion.md."""

MOST_CHARACTERS: Final = 512
"""Of an utterance's words: about what is said in 30 s, the longest. The cost grows with the square."""

_POLES: Final[dict[str, frozenset[str]]] = {
    "positive": frozenset({"happy"}),
    "negative": frozenset({"sad", "angry", "fearful", "disgusted"}),
}


@dataclass(frozen=True, slots=True)
class Fused:
    """Voice and words together."""

    probabilities: Distribution
    text_weight: float
    """What the words had against the voice, above 0 to 1."""


class TextFusion(Protocol):
    """Weighs words in. Called on the event loop for each utterance with words: it takes 1 ms at most."""

    @property
    def languages(self) -> Sequence[str]:
        """Primary language subtags (``"en"``) whose words it understands."""
        ...

    def fuse(self, text: str, voice: Distribution, labels: Sequence[str]) -> Fused | None:
        """Both together; None where the words say nothing. ``text`` is not kept."""
        ...


class LexiconFusion:
    """A log-opinion pool of the voice and the valence of the words, each weighing by its certainty."""

    languages = ("en",)

    def __init__(self, valence: Callable[[str], float], strength: float = STRENGTH) -> None:
        """``valence`` gives −1 (negative) to 1 (positive) for a text, 0 where it knows none of the words."""
        self.valence = valence
        self._strength = strength

    def fuse(self, text: str, voice: Distribution, labels: Sequence[str]) -> Fused | None:
        words = of_valence(self.valence(text), labels)
        said = self._strength * certainty(words)
        if not said > 0:
            return None
        weight = said / (said + certainty(voice))
        return Fused(pool(voice, words, weight), weight)


def of_valence(valence: float, labels: Sequence[str]) -> Distribution:
    """A distribution from a valence of −1 to 1: its size to the labels of its side, the rest to all alike.

    A valence of 0 says nothing, rather than "neutral": most sentences that hurt have no word for it.
    """
    even = np.full(len(labels), 1 / len(labels))
    side = _POLES["positive" if valence > 0 else "negative"]
    members = np.array([label in side for label in labels], dtype=np.float64)
    if not members.any():
        return even.astype(np.float32)
    share = min(1.0, abs(valence))
    return np.asarray((1 - share) * even + share * members / members.sum(), dtype=np.float32)


def certainty(probabilities: Distribution) -> float:
    """1 minus the entropy over its largest value: 0 (all alike) to 1 (one label)."""
    shares = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    return float(np.clip(1 + (shares * np.log(shares)).sum() / np.log(len(shares)), 0.0, 1.0))


def pool(voice: Distribution, words: Distribution, weight: float) -> Distribution:
    """The product of both, each to the power of its weight; ``weight`` is the words', 0..1."""
    logs = (1 - weight) * np.log(np.clip(voice, 1e-9, 1)) + weight * np.log(np.clip(words, 1e-9, 1))
    product = np.exp(logs - logs.max())
    return np.asarray(product / product.sum(), dtype=np.float32)


def open_fusion(settings: FusionSettings) -> TextFusion | None:
    """The fusion that settings name; None: none. Raises `SettingsError` where its library is missing."""
    if settings.text == "off":
        return None
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"fusion.text: lexicon needs {error.name}, which is not installed: "
            "pip install 'affectstream[fusion]'"
        ) from None
    analyzer = SentimentIntensityAnalyzer()
    return LexiconFusion(lambda text: float(analyzer.polarity_scores(_beginning(text))["compound"]))


def _beginning(text: str) -> str:
    """Its first whole words, up to `MOST_CHARACTERS`."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[: MOST_CHARACTERS + 1].rsplit(maxsplit=1)[0][:MOST_CHARACTERS]
