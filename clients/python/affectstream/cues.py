"""An event's cues in words for people: ``"angry: louder (+2.1 sd), higher (+1.4 sd) in 1.2-1.9 s"``."""

from __future__ import annotations

from typing import Final

from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent
from affectstream.values import Cue, SalientSpan

NOTABLE: Final = 1.0
"""Standard deviations from the speaker's own baseline, from which a cue is told of."""
MOST: Final = 4
"""Cues in a sentence, those that are furthest off."""

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "pitch_median": ("higher", "lower"),
    "pitch_range": ("livelier in pitch", "flatter in pitch"),
    "energy_mean": ("louder", "softer"),
    "energy_over_noise": ("further over the background", "nearer to the background"),
    "energy_range": ("more uneven in loudness", "more even in loudness"),
    "speaking_rate": ("faster", "slower"),
    "jitter": ("rougher", "smoother"),
    "hnr": ("clearer", "breathier"),
    "spectral_tilt": ("brighter", "darker"),
}
"""More and less than usual, of each cue that servers of this version give."""
NAMES: Final = tuple(_WORDS)

_PLAIN: Final[dict[str, str]] = {
    "pitch_median": "pitch {:.0f} Hz",
    "energy_mean": "level {:.0f} dBFS",
    "speaking_rate": "{:.1f} syllables a second",
}
"""Told as they are, where there is no baseline yet."""


def describe(event: AffectEvent) -> str:
    """The cues of an event in a sentence.

    Args:
        event: Final, of a stream that asked for `Outputs.cues`, or of `AffectClient.analyze` with ``cues``.

    Returns:
        How the utterance differs from the speaker's others, and where it has them, how the spans on which the
        score rests do. Before there is a baseline, and of `analyze`: pitch, level and rate as they are. It
        begins with the label where the status is OK. Empty where the event has no cues.
    """
    if not event.cues:
        return ""
    label = f"{event.top_label}: " if event.status == AffectStatus.OK and event.top_label else ""
    return label + (_against_baseline(event) or _as_they_are(event))


def spans_text(spans: tuple[SalientSpan, ...]) -> str:
    """Spans on the session's timeline in seconds: ``"1.2-1.9 s, 2.4-2.7 s"``."""
    return ", ".join(f"{span.audio_start.seconds:.1f}-{span.audio_end.seconds:.1f} s" for span in spans)


def _against_baseline(event: AffectEvent) -> str:
    """Empty while there is no baseline."""
    salient = any(cue.salient_z_score is not None for cue in event.cues)
    scores = [(cue, cue.salient_z_score if salient else cue.z_score) for cue in event.cues]
    known = [(cue, score) for cue, score in scores if score is not None]
    if not known:
        return ""
    where = f" in {spans_text(event.saliency)}" if salient and event.saliency else ""
    notable = sorted(
        (one for one in known if abs(one[1]) >= NOTABLE and one[0].name in _WORDS),
        key=lambda one: -abs(one[1]),
    )
    words = ", ".join(_word(cue, score) for cue, score in notable[:MOST])
    return (words or "as usual for this speaker") + where


def _word(cue: Cue, score: float) -> str:
    more, less = _WORDS[cue.name]
    return f"{more if score > 0 else less} ({score:+.1f} sd)"


def _as_they_are(event: AffectEvent) -> str:
    told = [_PLAIN[cue.name].format(cue.value) for cue in event.cues if cue.name in _PLAIN]
    return ", ".join(told)
