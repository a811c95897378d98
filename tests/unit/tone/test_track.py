"""Rules at work: they begin and end at their own thresholds, rest, and give way to higher priority."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from affectstream.tone import Policy
from affectstream.tone.reading import Reading
from affectstream.tone.track import Track, Tracks, alone
from tests.unit.tone.policies import ANGRY, SAD, policy, reading, rule


def spoken(by: Policy, readings: Iterable[Reading]) -> list[str]:
    track = Track(by, "utterance")
    return [found.name if (found := track.hear(each).rule) is not None else "" for each in readings]


def angrily(*levels: float, every_s: float = 4.0) -> list[Reading]:
    return [reading(every_s * place, angry=level) for place, level in enumerate(levels)]


def test_between_the_thresholds_nothing_changes() -> None:
    assert spoken(policy(), angrily(0.59, 0.6, 0.4, 0.59, 0.39, 0.59)) == ["", *["upset"] * 3, "", ""]


def test_below_works_the_other_way_round() -> None:
    quiet = policy(rule("quiet", {"value": "arousal", "enter_below": 0.3, "leave_above": 0.5}))
    levels = (0.31, 0.3, 0.5, 0.51, 0.4)
    assert spoken(quiet, [reading(arousal=level) for level in levels]) == ["", "quiet", "quiet", "", ""]


def test_without_a_second_threshold_there_is_one() -> None:
    plain = policy(rule("r", {"value": "arousal", "enter_above": 0.5}))
    assert spoken(plain, [reading(arousal=level) for level in (0.5, 0.49)]) == ["r", ""]


def test_it_may_ask_for_several_in_a_row() -> None:
    patient = policy(rule(enter_after=2, leave_after=2))
    assert spoken(patient, angrily(0.9, 0, 0.9, 0.9, 0, 0.9, 0, 0)) == ["", "", "", *["upset"] * 4, ""]


def test_after_its_end_it_rests_for_utterances_and_for_time() -> None:
    by_count = policy(rule(cool_down={"utterances": 2}))
    assert spoken(by_count, angrily(0.9, 0, 0.9, 0.9, 0.9)) == ["upset", "", "", "", "upset"]
    by_time = policy(rule(cool_down={"seconds": 10}))
    assert spoken(by_time, angrily(0.9, 0, 0.9, 0.9, 0.9)) == ["upset", "", "", "", "upset"]


def test_of_those_that_hold_the_first_by_priority_speaks_and_then_the_next() -> None:
    both = policy(
        rule("low", SAD | {"enter_above": 0.1, "leave_below": 0.05}, priority=1), rule("upset", priority=2)
    )
    assert spoken(both, angrily(0.3, 0.7, 0.3, 0.99)) == ["low", "upset", "low", "upset"]


def test_all_conditions_must_hold_to_begin_and_any_may_end_it() -> None:
    loud = {"value": "arousal", "enter_above": 0.5, "leave_below": 0.4}
    both = policy(rule("r", ANGRY, loud))
    levels = [(0.9, 0.4), (0.5, 0.9), (0.9, 0.9), (0.41, 0.41), (0.9, 0.39)]
    assert spoken(both, [reading(angry=a, arousal=b) for a, b in levels]) == ["", "", "r", "r", ""]


def test_labels_are_added_up_and_what_is_not_known_does_not_hold() -> None:
    either = policy(rule("r", ANGRY | {"label": ["angry", "sad", "fearful"]}))
    assert spoken(either, [reading(angry=0.5)]) == ["r"]
    assert spoken(policy(rule("r", ANGRY | {"label": "fearful"})), [reading(angry=0.9)]) == [""]
    assert spoken(policy(rule("r", {"value": "valence", "enter_above": 0})), [reading(arousal=1)]) == [""]


@pytest.mark.parametrize(
    ("levels", "rises"),
    [
        ((0.1, 0.4), False),
        ((0.1, 0.2, 0.4), True),
        ((0.9, 0.1, 0.2, 0.4), True),
        ((0.1, 0.4, 0.1), False),
        ((0.4, 0.2, 0.1), False),
    ],
)
def test_a_trend_is_the_rise_over_the_last_utterances(levels: tuple[float, ...], rises: bool) -> None:
    rising = policy(rule("r", {"value": "arousal_trend", "over": 3, "enter_above": 0.25}))
    assert spoken(rising, [reading(arousal=level) for level in levels])[-1] == ("r" if rises else "")


def test_what_is_not_acted_on_says_nothing_and_changes_nothing() -> None:
    unsure = reading(ok=False, angry=0.0)
    assert spoken(policy(), [reading(angry=0.9), unsure, reading(angry=0.5)]) == ["upset", "", "upset"]
    assert alone(policy(), reading(ok=False, angry=0.9)) is None


def test_alone_no_rule_waits_for_a_second() -> None:
    patient = policy(rule(enter_after=3))
    found = alone(patient, reading(angry=0.9))
    assert found is not None
    assert found.name == "upset"
    assert alone(patient, reading(angry=0.5)) is None


def test_why_it_changed_is_told_by_the_values() -> None:
    track = Track(policy(rule(leave_after=2)), "utterance")
    told = [track.hear(each) for each in angrily(0.83, 0.9, 0.1, 0.2, 0.3)]
    assert [decision.changed for decision in told] == [True, False, False, True, False]
    assert told[0].why == "upset: probability of angry 0.83 >= 0.6"
    assert told[3].why == "upset ended: probability of angry 0.20 < 0.4, 2 in a row"


def tracks(**fields: Any) -> Tracks:
    return Tracks(policy(rule(**fields)))


def name(of: Tracks, each: Reading, channel: int = 0) -> str:
    found = of.hear(each, channel).rule
    return found.name if found is not None else ""


def test_each_channel_and_the_turns_have_a_state_of_their_own() -> None:
    heard = tracks()
    assert name(heard, reading(angry=0.9)) == "upset"
    assert name(heard, reading(angry=0.5), channel=1) == ""
    assert name(heard, reading(angry=0.5, kind="turn")) == ""
    assert name(heard, reading(angry=0.5)) == "upset"
    heard.clear()
    assert name(heard, reading(angry=0.5)) == ""
    assert name(tracks(about=["turn"]), reading(angry=0.9)) == ""


def test_channels_are_not_kept_without_bound() -> None:
    heard = tracks()
    for channel in range(Tracks.MOST + 1):
        name(heard, reading(angry=0.9), channel)
    assert name(heard, reading(angry=0.5), channel=Tracks.MOST) == "upset"
    assert name(heard, reading(angry=0.5), channel=0) == "", "the one longest unheard is forgotten"


def test_the_language_is_the_nearest_that_there_is() -> None:
    texts = {"en": "It may be so.", "de": "Vielleicht.", "de-CH": "Villicht."}
    known = policy(rule(text=texts), languages=["en", "de", "de-CH"])
    asked = ("de", "DE-at", "de-CH-1996", "fr", "", "en-GB")
    assert [known.language(tag) for tag in asked] == ["de", "de", "de-CH", "en", "en", "en"]
