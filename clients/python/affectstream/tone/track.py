"""The rules at work: what holds now for one speaker, after each utterance or turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from affectstream.tone.policy import Policy, Rule
from affectstream.tone.reading import Kind, Reading
from affectstream.values import Guidance


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy has to say, and why it says something else than before."""

    rule: Rule | None
    changed: bool
    why: str
    """Empty where nothing changed."""


@dataclass(slots=True)
class _State:
    active: bool = False
    streak: int = 0
    """Utterances in a row for the other state."""
    left_at: int | None = None
    """Number of the reading at which it ended."""
    left_s: float = 0.0


class Track:
    """One speaker's utterances, or their turns. Bounded: a state for each rule and the longest trend."""

    def __init__(self, policy: Policy, kind: Kind) -> None:
        self._rules = tuple(rule for rule in policy.rules if kind in rule.about)
        self._states = {rule.name: _State() for rule in self._rules}
        longest = max((condition.over for rule in self._rules for condition in rule.when), default=1)
        self._history: deque[Reading] = deque(maxlen=longest)
        self._count = 0
        self._speaks: Rule | None = None

    def hear(self, reading: Reading) -> Decision:
        """Take in what may be acted on; all else changes nothing and has nothing to say."""
        if not reading.ok:
            return Decision(None, changed=False, why="")
        self._history.append(reading)
        self._count += 1
        history = tuple(self._history)
        ended: dict[str, str] = {}
        begun: dict[str, str] = {}
        for rule in self._rules:
            state = self._states[rule.name]
            if state.active:
                self._stay(rule, state, history, ended)
            else:
                self._enter(rule, state, history, begun)
        before, self._speaks = (
            self._speaks,
            next((r for r in self._rules if self._states[r.name].active), None),
        )
        changed = before is not self._speaks
        why = _why(before, self._speaks, begun, ended) if changed else ""
        return Decision(self._speaks, changed, why)

    def _stay(self, rule: Rule, state: _State, history: tuple[Reading, ...], ended: dict[str, str]) -> None:
        failing = [
            condition.told(value, entering=False)
            for condition in rule.when
            if not condition.stays(value := condition.measure(history))
        ]
        state.streak = state.streak + 1 if failing else 0
        if state.streak >= rule.leave_after:
            state.active, state.streak = False, 0
            state.left_at, state.left_s = self._count, history[-1].end_s
            ended[rule.name] = ", ".join(failing) + _in_a_row(rule.leave_after)

    def _enter(self, rule: Rule, state: _State, history: tuple[Reading, ...], begun: dict[str, str]) -> None:
        if state.left_at is not None:
            rested = self._count - state.left_at > rule.cool_down_utterances
            if not rested or history[-1].end_s - state.left_s < rule.cool_down_s:
                state.streak = 0
                return
        values = [condition.measure(history) for condition in rule.when]
        holds = all(condition.enters(value) for condition, value in zip(rule.when, values, strict=True))
        state.streak = state.streak + 1 if holds else 0
        if state.streak >= rule.enter_after:
            state.active, state.streak = True, 0
            told = (c.told(value, entering=True) for c, value in zip(rule.when, values, strict=True))
            begun[rule.name] = ", ".join(told) + _in_a_row(rule.enter_after)


class Tracks:
    """Every speaker of a session, and its turns."""

    MOST = 16
    """Channels and turns; the one that is longest unheard is forgotten."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._tracks: dict[tuple[Kind, int], Track] = {}

    def hear(self, reading: Reading, channel: int = 0) -> Decision:
        """Take in an utterance of a channel, or a turn of the session."""
        key = (reading.kind, 0 if reading.kind == "turn" else channel)
        track = self._tracks.pop(key, None) or Track(self._policy, reading.kind)
        self._tracks[key] = track
        if len(self._tracks) > self.MOST:
            del self._tracks[next(iter(self._tracks))]
        return track.hear(reading)

    def clear(self) -> None:
        """Forget everything."""
        self._tracks.clear()


def alone(policy: Policy, reading: Reading) -> Rule | None:
    """What holds of a reading of which nothing before is known; no rule waits for a second."""
    if not reading.ok:
        return None
    holding: Iterable[Rule] = (
        rule
        for rule in policy.rules
        if reading.kind in rule.about and all(c.enters(c.measure((reading,))) for c in rule.when)
    )
    return next(iter(holding), None)


def words(policy: Policy, rule: Rule, language: str) -> Guidance:
    """A rule's sentence and tags, in this language or the policy's first."""
    chosen = policy.language(language)
    return Guidance(text=rule.text[chosen], style_tags=rule.style_tags, rule=rule.name, language_code=chosen)


def _why(before: Rule | None, now: Rule | None, begun: dict[str, str], ended: dict[str, str]) -> str:
    parts = []
    if before is not None and before.name in ended:
        parts.append(f"{before.name} ended: {ended[before.name]}")
    if now is not None:
        parts.append(f"{now.name}: {begun.get(now.name, 'it still holds')}")
    return "; ".join(parts)


def _in_a_row(count: int) -> str:
    return f", {count} in a row" if count > 1 else ""
