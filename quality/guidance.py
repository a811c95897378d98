"""How the default policy's thresholds were chosen: what begins where it should not, and what is missed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from affectstream.tone import Policy, default_policy
from affectstream.tone.reading import of_message
from affectstream.tone.track import Tracks
from affectstream_server.stages.baseline import Baselines
from quality.unheard import Speakers, Unheard

DRAWS: Final = 50
"""Talks of each speaker, as heard by each model that never heard them."""
LENGTH: Final = 8
"""Utterances of a talk in one mood."""
ANGRY: Final = 4
"""Angry utterances between calm ones."""
TRIED: Final = {
    "upset": [
        (0.5, 1),
        (0.55, 1),
        (0.6, 1),
        (0.7, 1),
        (0.75, 1),
        (0.8, 1),
        (0.85, 1),
        (0.5, 2),
        (0.6, 2),
        (0.7, 2),
    ],
    "low": [(0.6, 1), (0.8, 1), (0.9, 1), (0.5, 2), (0.6, 2), (0.7, 2), (0.6, 3)],
}
"""Rule → thresholds from which it begins, and utterances in a row."""


def table(speakers: Speakers) -> str:
    """Markdown: a row for each choice."""
    lines = [
        "| rule | from | in a row | begins in neutral talk | in joyful talk | noticed among four | after |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, choices in TRIED.items():
        mood = {"upset": "angry", "low": "sad"}[name]
        for enter, after in choices:
            policy = changed(default_policy(), name, enter, after)
            false = [begins(policy, speakers, talk, name) for talk in ("neutral", "happy")]
            noticed, delay = notices(policy, speakers, mood, name)
            figures = " | ".join(f"{rate:.3f}" for rate in false)
            lines.append(f"| {name} | {enter:g} | {after} | {figures} | {noticed:.2f} | {delay:.1f} |")
    rate = sum(
        begins(default_policy(), speakers, "neutral", rule.name) for rule in default_policy().rules[:-1]
    )
    return "\n".join(
        [*lines, "", f"Shipped: all rules but `even` together begin in {rate:.3f} of neutral utterances."]
    )


def changed(policy: Policy, name: str, enter: float, after: int) -> Policy:
    """The policy with another threshold for one rule."""
    rules = []
    for rule in policy.rules:
        if rule.name != name:
            rules.append(rule)
            continue
        (condition,) = rule.when
        when = (replace(condition, enter=enter, leave=min(enter, condition.leave)),)
        rules.append(replace(rule, when=when, enter_after=after))
    return replace(policy, rules=tuple(rules))


def begins(policy: Policy, speakers: Speakers, mood: str, name: str) -> float:
    """How often a rule begins to speak, for each utterance of talk in one mood."""
    rng = random.Random(1)  # noqa: S311 - talks, not secrets
    utterances = found = 0
    for said in speakers.values():
        for _ in range(DRAWS if said.get(mood) else 0):
            spoken = spoken_by(policy, [rng.choice(said[mood]) for _ in range(LENGTH)])
            rules = [rule for rule in spoken if rule is not None]
            utterances += LENGTH
            found += sum(now == name != before for before, now in pairwise(["", *rules]))
    return found / max(1, utterances)


def notices(policy: Policy, speakers: Speakers, mood: str, name: str) -> tuple[float, float]:
    """Share of talks, three neutral and four in a mood, in which a rule speaks, and at which of the four."""
    rng = random.Random(1)  # noqa: S311 - talks, not secrets
    places: list[int | None] = []
    for said in speakers.values():
        for _ in range(DRAWS if said.get(mood) and said.get("neutral") else 0):
            before = [rng.choice(said["neutral"]) for _ in range(3)]
            spoken = list(spoken_by(policy, [*before, *(rng.choice(said[mood]) for _ in range(ANGRY))]))[3:]
            places.append(spoken.index(name) + 1 if name in spoken else None)
    found = [place for place in places if place is not None]
    return len(found) / max(1, len(places)), sum(found) / max(1, len(found))


def spoken_by(policy: Policy, clips: Sequence[Unheard]) -> Iterator[str | None]:
    """The rule that speaks after each clip; empty: none, None: it is not acted on."""
    tracks, baselines = Tracks(policy), Baselines()
    for number, clip in enumerate(clips):
        event = clip.event(number)
        baselines.compare(0, event)
        rule = tracks.hear(of_message(event)).rule
        yield (rule.name if rule is not None else "") if clip.ok else None
