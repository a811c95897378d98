"""Guidance as a message in a language model's context."""

from __future__ import annotations

from typing import Final

from affectstream.values import Guidance

_FRAMES: Final = {
    "en": ("Tone of voice, only an estimate: ", " Let it shape your wording and do not mention it."),
    "de": (
        "Tonfall, nur eine Schätzung: ",
        " Lass ihn deine Wortwahl prägen und erwähne ihn nicht.",
    ),
}
"""What every note begins with, so that the one before is found and replaced; and how it ends."""


def note(advice: Guidance) -> str:
    """The guidance as a message for a language model's context: one line that `is_note` finds again."""
    prefix, suffix = _FRAMES.get(advice.language_code.partition("-")[0].lower(), _FRAMES["en"])
    return f"{prefix}{advice.text}{suffix}"


def is_note(text: str) -> bool:
    """Whether a message's text was made by `note`."""
    return text.startswith(tuple(prefix for prefix, _ in _FRAMES.values()))
