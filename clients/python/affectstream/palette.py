"""One colour for each emotion, the same in the terminal and in pictures.

The colours are Okabe and Ito's, which people with any colour vision can tell apart.
"""

from __future__ import annotations

from typing import Final

COLOURS: Final = {
    "neutral": "#8A8A8A",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fearful": "#CC79A7",
    "disgusted": "#009E73",
    "surprised": "#56B4E9",
}
UNKNOWN: Final = "#B8B8B8"
"""For labels of a user's own model, and for utterances without values."""


def colour(label: str) -> str:
    """The colour of a label as ``"#RRGGBB"``."""
    return COLOURS.get(label, UNKNOWN)
