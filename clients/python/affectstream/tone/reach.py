"""Rules that can never speak: by themselves, or because another always speaks before them."""

from __future__ import annotations

from itertools import combinations

from affectstream.tone.policy import PROBABILITY, TREND, Condition, Rule
from affectstream.tone.reading import CHANGES, STEPS


def never(rule: Rule) -> str:
    """Why a rule can never begin; empty where it can."""
    relative = [c.value for c in rule.when if c.value.removesuffix(TREND) in (*CHANGES, *STEPS)]
    if relative and rule.about == {"turn"}:
        return f"turns have no {relative[0]}"
    for one, other in combinations(rule.when, 2):
        if _same(one, other) and one.above != other.above:
            low, high = (one, other) if one.above else (other, one)
            if low.enter > high.enter:
                return f"{one.value} cannot be at least {low.enter:g} and at most {high.enter:g}"
        both = one.value == other.value == PROBABILITY and one.above and other.above
        if both and not set(one.labels) & set(other.labels) and one.enter + other.enter > 1:
            return f"probabilities of {' + '.join((*one.labels, *other.labels))} do not exceed 1"
    return ""


def shadowed(rule: Rule, other: Rule) -> bool:
    """``other``, which goes before it, holds whenever ``rule`` does."""
    if not rule.about <= other.about or other.cool_down_utterances or other.cool_down_s:
        return False
    if other.enter_after > rule.enter_after or other.leave_after < rule.leave_after:
        return False
    return all(any(_within(mine, theirs) for mine in rule.when) for theirs in other.when)


def _same(one: Condition, other: Condition) -> bool:
    return (one.value, set(one.labels), one.over) == (other.value, set(other.labels), other.over)


def _within(mine: Condition, theirs: Condition) -> bool:
    """Where the first holds, the second does."""
    if mine.above != theirs.above or (mine.value, mine.over) != (theirs.value, theirs.over):
        return False
    if mine.value != PROBABILITY or not mine.above:
        if set(mine.labels) != set(theirs.labels):
            return False
    elif not set(mine.labels) <= set(theirs.labels):  # the sum over more labels is no less
        return False
    if mine.above:
        return mine.enter >= theirs.enter and mine.leave >= theirs.leave
    return mine.enter <= theirs.enter and mine.leave <= theirs.leave
