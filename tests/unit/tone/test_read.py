"""What is wrong with a policy is told by line, field, value and what is allowed; nothing of it is used."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream.tone import PolicyError, built_in_text, default_policy
from affectstream.tone.claims import forbidden_claims
from affectstream.tone.nodes import MOST_BYTES
from affectstream.tone.read import MOST_RULES, read
from tests.unit.tone.policies import ANGRY, SAD, rule, source


def refused(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        read(text, "my.yaml")
    return str(caught.value)


def test_the_policy_that_comes_along_can_be_used_and_goes_before_by_priority() -> None:
    policy = default_policy()
    assert policy.name == "default"
    assert policy.rules[0].name == "upset"
    assert policy.rules[-1].name == "even"
    assert {tuple(rule.text) for rule in policy.rules} == {("en", "de")}
    assert "# " in built_in_text(), "it teaches"


WRONG: list[tuple[dict[str, Any], str]] = [
    (rule(prioritty=1), r"prioritty: got an unknown key, allowed: name, about, priority, when"),
    (rule(priority=1_001), r"priority: got '1001', allowed: a number, 0 to 1000"),
    (rule(priority=1.5), r"priority: got '1\.5', allowed: a whole number, 0 to 1000"),
    (rule(style_tags=["clam"]), r"style_tags: got 'clam', allowed: acknowledge, .*x-…"),
    (rule(style_tags=[]), r"style_tags: got 0 items, allowed: 1 to 8 items"),
    (rule(style_tags="calm"), r"style_tags: got 'calm', allowed: a list"),
    (rule(text={"de": "Ruhig."}), r"text\.de: got an unknown key, allowed: en"),
    (rule(text={}), r"text\.en: got nothing, allowed: a value"),
    (rule(text={"en": "Two. Sentences."}), r"text\.en: .*allowed: one sentence on one line"),
    (rule(text={"en": "No end"}), r"text\.en: got 'No end', allowed: one sentence"),
    (rule(text={"en": "The speaker is angry."}), r"text\.en: got 'speaker is', a certainty, allowed: how"),
    (rule(text={"en": "May sound depressed."}), r"text\.en: got 'depressed', a diagnosis"),
    (rule(about=["sentence"]), r"about: got 'sentence', allowed: utterance, turn"),
    (rule(enter_after=0), r"enter_after: got '0', allowed: a number, 1 to 10"),
    (rule(cool_down={"minutes": 1}), r"cool_down\.minutes: got an unknown key, allowed: utterances, seconds"),
    (rule(cool_down={"seconds": "soon"}), r"cool_down\.seconds: got 'soon', allowed: a number, 0 to 3600"),
    (rule("Upset!"), r"name: got 'Upset!', allowed: a-z, 0-9 and -"),
    (
        rule("r", ANGRY | {"value": "loudness"}),
        r"when\[0\]\.value: got 'loudness', allowed: probability, val",
    ),
    (rule("r", ANGRY | {"label": "furious"}), r"label: got 'furious', allowed: neutral, happy"),
    (rule("r", ANGRY | {"enter_above": 1.2}), r"enter_above: got '1\.2', allowed: a number, 0 to 1"),
    (rule("r", ANGRY | {"enter_above": True}), r"enter_above: got 'true', allowed: a number"),
    (rule("r", ANGRY | {"leave_below": 0.7}), r"leave_below: got '0\.7', allowed: at most enter_above, 0\.6"),
    (
        rule("r", ANGRY | {"leave_above": 0.7}),
        r"leave_above: got '0\.7', allowed: enter_above goes with leave",
    ),
    (rule("r", {"value": "arousal", "enter_below": 0.3, "leave_above": 0.2}), r"at least enter_below, 0\.3"),
    (rule("r", {"value": "arousal"}), r"when\[0\]: got neither, allowed: enter_above or enter_below"),
    (
        rule("r", {"value": "arousal", "label": "sad", "enter_above": 1}),
        r"label: got 'sad', allowed: only with",
    ),
    (rule("r", {"value": "probability", "enter_above": 1}), r"label: got nothing, allowed: neutral"),
    (
        rule("r", {"value": "arousal_trend", "enter_above": 1}),
        r"over: got nothing, allowed: utterances of the",
    ),
    (
        rule("r", {"value": "arousal_trend", "over": 1, "enter_above": 1}),
        r"over: got '1', allowed: a number, 2",
    ),
    (
        rule("r", {"value": "arousal", "over": 3, "enter_above": 1}),
        r"over: got '3', allowed: only with a trend",
    ),
    (rule("r", {"value": "arousal_change", "enter_above": 11}), r"allowed: a number, -10 to 10"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=[told[:25] for _, told in WRONG])
def test_a_wrong_rule_is_named_by_line_field_value_and_what_is_allowed(
    wrong: dict[str, Any], told: str
) -> None:
    found = refused(source(rule("fine", SAD), wrong))
    assert re.search(told, found), found
    (line,) = {int(n) for n in re.findall(r"^my\.yaml: line (\d+): rules\[1\]", found, re.MULTILINE)} or {0}
    assert line > 10, "where it stands"


def test_every_problem_is_told_at_once() -> None:
    found = refused(source(rule(priority=-1, style_tags=["clam"]), langauges=["en"]))
    assert len(found.splitlines()) == 3
    assert found.splitlines() == sorted(found.splitlines(), key=lambda line: int(line.split()[2][:-1]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "file: got nothing, allowed: a policy"),
        ("- a\n", "got a list, allowed: a mapping with version, name, languages, rules"),
        ("rules: [", "line 1: YAML: got expected the node content"),
        ("a: &x [*x]\n", "a: got an unknown key"),
        ("[" * 5_000, "nested a few levels"),
        ("#" * (MOST_BYTES + 1), f"at most {MOST_BYTES} bytes"),
        (source(version=2), "version: got '2', allowed: a number, 1 to 1"),
        (source(languages=[]), "languages: got 0 items"),
        (source(languages=["english!"]), "languages: got 'english!', allowed: BCP 47"),
        (source(languages=["en", "fr"]), "text.fr: got nothing"),
        (source(*[rule()] * 2), "rules[1].name: got 'upset', allowed: a name of its own"),
        (source(*[rule(f"r{n}") for n in range(MOST_RULES + 1)]), "rules: got 65 items, allowed: 1 to 64"),
        (source() + "name: again\n", "name: got it twice, allowed: each key once"),
    ],
)
def test_a_wrong_file_is_refused(text: str, told: str) -> None:
    assert told in refused(text)


LOUD = {"value": "arousal", "enter_above": 0.8, "leave_below": 0.7}


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([rule("a"), rule("b")], "a (line 6) holds whenever it does"),
        ([rule("a", priority=2), rule("b", ANGRY, LOUD, priority=1)], "a (line 6) holds whenever it does"),
        ([rule("a"), rule("b", ANGRY | {"enter_above": 0.9})], "a (line 6) holds"),
        ([rule("a", ANGRY | {"label": ["sad", "angry"]}), rule("b")], "a (line 6) holds"),
        ([rule("a", ANGRY, SAD)], "probabilities of angry + sad do not exceed 1"),
        (
            [rule("a", LOUD, {"value": "arousal", "enter_below": 0.3})],
            "arousal cannot be at least 0.8 and at most 0.3",
        ),
        (
            [rule("a", {"value": "arousal_change", "enter_above": 1}, about=["turn"])],
            "turns have no arousal_change",
        ),
    ],
)
def test_a_rule_that_can_never_speak_is_refused(rules: list[dict[str, Any]], why: str) -> None:
    assert f"unreachable: {why}" in refused(source(*rules))


@pytest.mark.parametrize(
    "rules",
    [
        [rule("a", priority=1), rule("b", ANGRY | {"enter_above": 0.5}, priority=0)],
        [rule("a"), rule("b", ANGRY | {"enter_above": 0.9, "leave_below": 0.1})],
        [rule("a", about=["turn"]), rule("b")],
        [rule("a", cool_down={"seconds": 10}), rule("b")],
        [rule("a", enter_after=2), rule("b")],
        [rule("a", ANGRY, LOUD), rule("b")],
        [rule("a"), rule("b", SAD)],
    ],
)
def test_a_rule_that_can_speak_at_times_is_not(rules: list[dict[str, Any]]) -> None:
    assert len(read(source(*rules)).rules) == 2


@pytest.mark.parametrize(
    "text",
    [
        "Der Sprecher ist traurig.",
        "They feel hurt.",
        "This is definitely anger.",
        "The caller may be lying.",
        "Vielleicht eine Angststörung.",
        "Offensichtlich verärgert.",
        "The speaker may be Anxious.",
    ],
)
def test_claims_are_found_in_either_language(text: str) -> None:
    assert forbidden_claims(text)


def test_careful_words_are_no_claims() -> None:
    for each in default_policy().rules:
        for text in each.text.values():
            assert forbidden_claims(text) == []
    assert forbidden_claims("A reply that believes in clear, relieving steps may fit.") == []


@given(st.text(max_size=400))
def test_whatever_stands_in_a_file_it_is_read_or_refused(text: str) -> None:
    for content in (text, f"version: 1\nname: {text}", source().replace("calm", text)):
        with suppress(PolicyError):  # any other error fails
            assert read(content).rules
