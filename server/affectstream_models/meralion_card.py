"""The card of MERaLiON-SER as this project serves it: licence, limits, published figures, parity budgets.

The text below is the source; `affectstream-models render` writes it into the repository, and its
digest stands in the metadata of every exported file.
"""

from __future__ import annotations

import hashlib
import tomllib
from typing import Any, Final

from affectstream import contract
from affectstream_models.meralion_config import HUB_ID, PINNED_REVISION, PUBLISHED_PARAMETERS, MeralionConfig

NAME: Final = "meralion_ser"
VERSION: Final = "1"


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)


CARD_TOML: Final = f"""\
name = "{NAME}"
version = "{VERSION}"
source = "{HUB_ID}"
revision = "{PINNED_REVISION}"
parameters = {PUBLISHED_PARAMETERS}
labels = [{_quoted(contract.EMOTIONS)}]
dimensions = [{_quoted(contract.DIMENSIONS)}]
sample_rate_hz = {contract.SAMPLE_RATE_HZ}
window_samples = {MeralionConfig().window_samples}
calibrated = false
weights_licence = "MERaLiON Public Licence: attribution, notice and terms for derivatives"
attribution = "MERaLiON-SER-v1 by the MERaLiON team; paper arXiv 2511.04914"
languages = ["en", "zh", "ms", "ta"]
limits = [
  "Valence is compressed: 0.12 to 0.41 on RAVDESS, seen by an independent user. Calibrate per deployment.",
  "The padding to 30 s is part of the function: a shorter window is another function, not a faster one.",
  "One second costs as much as thirty. Ask for at least 1 s of speech by one speaker in a window.",
  "Probabilities are not calibrated for your microphones and speakers.",
  "The published figures average four checkpoints; the single released file need not reach them.",
]
not_for = [
  "decisions about a person: hiring, schooling, credit, insurance, health, policing, border control",
  "inferring emotions at the workplace or in education, which the EU AI Act prohibits with few exceptions",
  "lie detection, diagnosis, or identifying a speaker",
]

# What an engine may differ by from the float32 graph, on real speech, before it is installed.
# Set before any engine was measured; tighten them with the first measured figures.
[parity.float32]
min_argmax_agreement = 1.0
max_probability_delta = 0.001
max_dim_delta = 0.001

[parity.fp16]
min_argmax_agreement = 0.99
max_probability_delta = 0.02
max_dim_delta = 0.01

[parity.bf16]
min_argmax_agreement = 0.97
max_probability_delta = 0.08
max_dim_delta = 0.03

# As published, by others, not measured here. UAR and CCC.
[[published]]
what = "UAR, 7 classes, four Singapore languages, 2 s / merged 2-15 s"
value = "53.9 / 60.2"
source = "arXiv 2511.04914"

[[published]]
what = "UAR, 4 classes, four Singapore languages, 2 s / merged 2-15 s"
value = "65.1 / 70.0"
source = "arXiv 2511.04914"

[[published]]
what = "UAR, 7 classes, emotion2vec+ seed on the same, 2 s / merged 2-15 s"
value = "49.0 / 57.9"
source = "arXiv 2511.04914"

[[published]]
what = "UAR, 4 classes, emotion2vec+ seed on the same, 2 s / merged 2-15 s"
value = "58.0 / 65.7"
source = "arXiv 2511.04914"

[[published]]
what = "UAR: MSP-Podcast test1, IEMOCAP, MELD"
value = "64-70"
source = "arXiv 2511.04914"

[[published]]
what = "UAR: M3ED, IndoWaveSentiment"
value = "57-60"
source = "arXiv 2511.04914"

[[published]]
what = "CCC on MSP-Podcast 1.11: valence / arousal / dominance"
value = ".616 / .660 / .593"
source = "arXiv 2511.04914"

[[published]]
what = "CCC on IEMOCAP: valence / arousal / dominance"
value = ".534 / .701 / .531"
source = "arXiv 2511.04914"

[[published]]
what = "Macro recall on RAVDESS without 'calm'"
value = "67.3"
source = "an independent user"
"""


def card() -> dict[str, Any]:
    """The card as a mapping."""
    return tomllib.loads(CARD_TOML)


def card_sha256() -> str:
    """Digest of the card's text."""
    return hashlib.sha256(CARD_TOML.encode()).hexdigest()


def published(model: str) -> str:
    """Figures that others published, as Markdown to stand beside measured ones; empty for another model."""
    if not model.startswith(f"{NAME} "):
        return ""
    rows = [f"| {row['what']} | {row['value']} | {row['source']} |" for row in card()["published"]]
    head = [
        "",
        "## As published by others, not measured here",
        "",
        "| what | value | source |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"
