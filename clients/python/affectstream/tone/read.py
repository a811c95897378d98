"""A policy from YAML: whatever is wrong is refused by line, field, value and what is allowed."""

from __future__ import annotations

import re
from typing import Final

import yaml

from affectstream.contract import EMOTIONS
from affectstream.tone.claims import forbidden_claims
from affectstream.tone.nodes import Reader, line_of, parse
from affectstream.tone.policy import PROBABILITY, STYLE_TAGS, TREND, VALUES, Condition, Policy, Rule
from affectstream.tone.problems import PolicyError, Problem
from affectstream.tone.reach import never, shadowed
from affectstream.tone.reading import KINDS

MOST_RULES: Final = 64
MOST_CONDITIONS: Final = 8
MOST_TAGS: Final = 8
MOST_LANGUAGES: Final = 32
MOST_TEXT: Final = 300
"""Characters of a sentence."""
LONGEST_TREND: Final = 20
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_OWN_TAG: Final = re.compile(r"x-[a-z0-9][a-z0-9-]{0,37}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_SENTENCE: Final = re.compile(r"[^\s.!?][^\n\r\t]*[.!]")
_RULE_KEYS: Final = (
    *("name", "about", "priority", "when", "enter_after", "leave_after", "cool_down", "style_tags", "text"),
)
_CONDITION_KEYS: Final = (
    *("value", "label", "over", "enter_above", "leave_below", "enter_below", "leave_above"),
)


def read(text: str, name: str = "policy") -> Policy:
    """The policy in a YAML text. Raises `PolicyError`.

    Args:
        text: The file's content.
        name: What errors call it.
    """
    reader = Reader()
    root = reader.mapping(
        parse(text, name),
        "",
        ("version", "name", "languages", "rules"),
        ("version", "name", "languages", "rules"),
    )
    reader.whole(root.get("version"), "version", 1, 1, 1)
    title = reader.text(
        root.get("name"), "name", lambda t: bool(_NAME.fullmatch(t)), "a-z, 0-9 and -, 1 to 40"
    )
    languages = tuple(
        reader.text(
            item, "languages", lambda t: bool(_LANGUAGE.fullmatch(t)), "BCP 47 tags such as en, de-AT"
        )
        for item in reader.items(root.get("languages"), "languages", MOST_LANGUAGES)
    )
    read_rules = [
        _rule(reader, item, f"rules[{index}]", languages)
        for index, item in enumerate(reader.items(root.get("rules"), "rules", MOST_RULES))
    ]
    lines = {rule.name: line_of(node) for rule, node in read_rules}
    if len(lines) < len(read_rules):
        _repeated(reader, read_rules)
    if not reader.problems:  # a rule that was not read whole says nothing about others
        _check_reach(reader, [rule for rule, _ in read_rules], lines)
    if reader.problems:
        raise PolicyError(name, reader.problems)
    ordered = sorted((rule for rule, _ in read_rules), key=lambda rule: -rule.priority)
    return Policy(title, languages, tuple(ordered))


def _rule(reader: Reader, node: yaml.Node, field: str, languages: tuple[str, ...]) -> tuple[Rule, yaml.Node]:
    parts = reader.mapping(node, field, _RULE_KEYS, ("name", "when", "style_tags", "text"))
    name = reader.text(
        parts.get("name"), f"{field}.name", lambda t: bool(_NAME.fullmatch(t)), "a-z, 0-9 and -, 1 to 40"
    )
    about = frozenset(
        reader.one_of(item, f"{field}.about", KINDS, "utterance")
        for item in reader.items(parts.get("about"), f"{field}.about", len(KINDS))
    )
    cooling = parts.get("cool_down")
    cool = reader.mapping(cooling, f"{field}.cool_down", ("utterances", "seconds")) if cooling else {}
    rule = Rule(
        name=name,
        when=tuple(
            _condition(reader, item, f"{field}.when[{index}]")
            for index, item in enumerate(reader.items(parts.get("when"), f"{field}.when", MOST_CONDITIONS))
        ),
        text=_texts(reader, parts.get("text"), f"{field}.text", languages),
        style_tags=tuple(
            reader.text(
                item,
                f"{field}.style_tags",
                lambda tag: tag in STYLE_TAGS or bool(_OWN_TAG.fullmatch(tag)),
                f"{', '.join(STYLE_TAGS)}, or one of your own as x-…",
            )
            for item in reader.items(parts.get("style_tags"), f"{field}.style_tags", MOST_TAGS)
        ),
        about=about or frozenset(KINDS),
        priority=reader.whole(parts.get("priority"), f"{field}.priority", 0, 1_000, 0),
        enter_after=reader.whole(parts.get("enter_after"), f"{field}.enter_after", 1, 10, 1),
        leave_after=reader.whole(parts.get("leave_after"), f"{field}.leave_after", 1, 10, 1),
        cool_down_utterances=reader.whole(cool.get("utterances"), f"{field}.cool_down.utterances", 0, 100, 0),
        cool_down_s=reader.number(cool.get("seconds"), f"{field}.cool_down.seconds", 0, 3_600),
    )
    return rule, node


def _condition(reader: Reader, node: yaml.Node, field: str) -> Condition:
    parts = reader.mapping(node, field, _CONDITION_KEYS, ("value",))
    value = reader.one_of(parts.get("value"), f"{field}.value", VALUES, PROBABILITY)
    low, high = _range(value)
    of_labels = value.removesuffix(TREND) == PROBABILITY
    label = parts.get("label")
    labels: tuple[str, ...] = ()
    if of_labels and label is None:
        reader.wrong(node, f"{field}.label", ", ".join(EMOTIONS), "nothing")
    elif not of_labels and label is not None:
        reader.wrong(label, f"{field}.label", f"only with {PROBABILITY} and {PROBABILITY}{TREND}")
    elif label is not None:
        several = isinstance(label, yaml.SequenceNode)
        items = reader.items(label, f"{field}.label", len(EMOTIONS)) if several else [label]
        labels = tuple(dict.fromkeys(reader.one_of(i, f"{field}.label", EMOTIONS, "") for i in items))
    over = parts.get("over")
    if value.endswith(TREND) and over is None:
        reader.wrong(node, f"{field}.over", f"utterances of the trend, 2 to {LONGEST_TREND}", "nothing")
    elif not value.endswith(TREND) and over is not None:
        reader.wrong(over, f"{field}.over", "only with a trend")
    above = "enter_below" not in parts
    enter_key, leave_key = ("enter_above", "leave_below") if above else ("enter_below", "leave_above")
    if enter_key not in parts:
        reader.wrong(node, field, "enter_above or enter_below", "neither")
    for key in ("enter_above", "leave_below", "leave_above"):
        if key in parts and key not in (enter_key, leave_key):
            reader.wrong(parts[key], f"{field}.{key}", f"{enter_key} goes with {leave_key}")
    told = len(reader.problems)
    enter = reader.number(parts.get(enter_key), f"{field}.{enter_key}", low, high)
    leave = reader.number(parts.get(leave_key), f"{field}.{leave_key}", low, high, enter)
    both_sound = leave_key in parts and len(reader.problems) == told
    if both_sound and (leave > enter if above else leave < enter):
        side = "most" if above else "least"
        reader.wrong(parts[leave_key], f"{field}.{leave_key}", f"at {side} {enter_key}, {enter:g}")
    return Condition(
        value=value,
        enter=enter,
        leave=leave,
        above=above,
        labels=labels,
        over=reader.whole(over, f"{field}.over", 2, LONGEST_TREND, 2) if value.endswith(TREND) else 1,
    )


def _range(value: str) -> tuple[float, float]:
    if value.endswith("_change"):
        return -10.0, 10.0
    return (-1.0, 1.0) if value.endswith(("_step", TREND)) else (0.0, 1.0)


def _texts(reader: Reader, node: yaml.Node | None, field: str, languages: tuple[str, ...]) -> dict[str, str]:
    if node is None:
        return {}
    found = {}
    for language, part in reader.mapping(node, field, languages, languages).items():
        text = reader.text(
            part,
            f"{field}.{language}",
            lambda t: len(t) <= MOST_TEXT and bool(_SENTENCE.fullmatch(t)) and t.count(". ") == 0,
            f"one sentence on one line that ends with a full stop, at most {MOST_TEXT} characters",
        )
        for word, kind in forbidden_claims(text):
            reader.wrong(
                part, f"{field}.{language}", "how the voice may sound and what may fit", f"{word!r}, {kind}"
            )
        found[language] = text
    return found


def _repeated(reader: Reader, rules: list[tuple[Rule, yaml.Node]]) -> None:
    seen: set[str] = set()
    for index, (rule, node) in enumerate(rules):
        if rule.name in seen and rule.name:
            reader.wrong(node, f"rules[{index}].name", "a name of its own", repr(rule.name))
        seen.add(rule.name)


def _check_reach(reader: Reader, rules: list[Rule], lines: dict[str, int]) -> None:
    """Note the rules that can never speak."""
    ordered = sorted(rules, key=lambda rule: -rule.priority)
    for place, rule in enumerate(ordered):
        reason = never(rule) or next(
            (
                f"{other.name} (line {lines[other.name]}) holds whenever it does and goes before it"
                for other in ordered[:place]
                if shadowed(rule, other)
            ),
            "",
        )
        if reason:
            problem = Problem(
                lines[rule.name], f"rule {rule.name}", f"unreachable: {reason}", "one that can speak"
            )
            reader.problems.append(problem)
