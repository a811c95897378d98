"""A tone policy: what is read speaks, or the error names line, field, value and what is allowed."""

from __future__ import annotations

from affectstream.contract import DIMENSIONS, EMOTIONS
from affectstream.tone import STYLE_TAGS, PolicyError, built_in_text
from affectstream.tone.policy import VALUES
from affectstream.tone.read import read
from affectstream.tone.reading import Reading
from affectstream.tone.track import Tracks, alone, words
from tests.fuzz.objects import yaml_mutated
from tests.fuzz.oracle import Found, check_text, watched
from tests.fuzz.target import Target, stateless

_READINGS = tuple(
    Reading(
        kind="turn" if number % 4 == 3 else "utterance",
        ok=number % 5 != 4,
        end_s=float(number),
        probabilities={label: (number + place) % 7 / 7 for place, label in enumerate(EMOTIONS)},
        levels=dict.fromkeys(DIMENSIONS, number % 3 / 2),
    )
    for number in range(12)
)


def run(data: bytes) -> None:
    """Read a policy, and let it hear a conversation."""
    with watched():
        try:
            policy = read(data.decode("utf-8", "replace"))
        except PolicyError as error:
            if not error.problems:
                raise Found("refused for nothing") from None
            check_text(str(error), data)
            return
        tracks = Tracks(policy)
        for reading in _READINGS:
            for rule in (tracks.hear(reading).rule, alone(policy, reading)):
                if rule is not None:
                    check_text(words(policy, rule, "de-AT").text, data)


_RULE = b"""version: 1
name: a
languages: [en, de]
rules:
  - name: r
    about: [utterance]
    priority: 10
    when:
      - {value: probability, label: [angry], enter_above: 0.5, leave_below: 0.3}
      - {value: arousal_trend, over: 3, enter_above: 0.1}
    enter_after: 2
    cool_down: {utterances: 2, seconds: 10}
    style_tags: [calm, x-own]
    text: {en: The voice may sound tense., de: Die Stimme klingt vielleicht angespannt.}
"""
_SEEDS = {
    "rule": _RULE,
    **{f"built-in-{name}": built_in_text(name).encode() for name in ("default", "sensitive")},
}
_WORDS = (
    *(f"{key}: " for key in ("version", "name", "languages", "rules", "about", "priority", "when", "value")),
    *(f"{key}: " for key in ("label", "over", "enter_above", "leave_below", "enter_below", "leave_above")),
    *(f"{key}: " for key in ("enter_after", "leave_after", "cool_down", "style_tags", "text", "utterances")),
    *VALUES,
    *STYLE_TAGS,
    *EMOTIONS,
    *("&a ", "*a", "<<: ", "!!int ", "!!float ", ".nan", ".inf", "0x10", "1:30", "[", "{", "- ", "? ", "~"),
)
TARGET = Target(
    opened=stateless(run),
    seeds=_SEEDS,
    most_bytes=8 * 1024,
    words=_WORDS,
    mutate=yaml_mutated([word.strip(": ") for word in _WORDS]),
)
