"""How a voice sounds → one sentence for whoever writes the reply.

The sentence is an estimate and says so, names no diagnosis and no certainty, and advises on the
wording of the reply only. Where the model did not answer, or has nothing that helps, there is none.
"""

from __future__ import annotations

from typing import Final

from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, TurnAffect
from affectstream.values import Guidance

SURE: Final = 0.6
"""Probability from which the voice "sounds" so; below it "may sound" so."""
LIVELY: Final = 0.67
"""Arousal from which the voice has much energy."""
QUIET: Final = 0.33
"""Arousal up to which the voice has little energy."""

NOTE_PREFIX: Final = "Tone of voice, only an estimate: "
"""What every note begins with, so that the one before is found and replaced."""
_NOTE_SUFFIX: Final = " Let it shape your wording and do not mention it."

_ADVICE: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "neutral": ("even", "a plain, friendly reply may fit", ("plain", "friendly")),
    "happy": ("cheerful", "a warm, lively reply may fit", ("warm", "lively")),
    "sad": ("low", "a gentle, patient reply may fit", ("gentle", "patient")),
    "angry": (
        "upset",
        "a calm, brief reply that takes up the concern first may fit",
        ("calm", "brief", "acknowledging"),
    ),
    "fearful": ("uneasy", "a reassuring, clear reply may fit", ("reassuring", "clear")),
    "disgusted": ("displeased", "a calm, matter-of-fact reply may fit", ("calm", "matter-of-fact")),
    "surprised": ("surprised", "a clear reply, step by step, may fit", ("clear", "stepwise")),
}


def guidance(affect: AffectEvent | TurnAffect) -> Guidance | None:
    """Advice for the wording of the reply to an utterance or a turn.

    Args:
        affect: Final or provisional.

    Returns:
        The server's own guidance where the event carries it; else one sentence and style tags from the
        label and the arousal. None: the status is not OK (abstained, too little speech, ...), or
        nothing is known about the label.
    """
    if affect.status != AffectStatus.OK:
        return None
    if affect.guidance is not None:
        return affect.guidance
    advice = _ADVICE.get(affect.top_label)
    if advice is None:
        return None
    quality, reply, tags = advice
    verb = "sounds" if (affect.top_probability or 0.0) >= SURE else "may sound"
    manner = _manner(affect.dimensions.arousal)
    return Guidance(text=f"The speaker {verb} {quality}{manner}; {reply}.", style_tags=tags)


def note(advice: Guidance) -> str:
    """The guidance as a message for a language model's context: one line that `is_note` finds again."""
    return f"{NOTE_PREFIX}{advice.text}{_NOTE_SUFFIX}"


def is_note(text: str) -> bool:
    """Whether a message's text was made by `note`."""
    return text.startswith(NOTE_PREFIX)


def _manner(arousal: float | None) -> str:
    if arousal is None or QUIET < arousal < LIVELY:
        return ""
    return ", with much energy" if arousal >= LIVELY else ", with little energy"
