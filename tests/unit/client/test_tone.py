"""Guidance says no more than is known, and nothing where the model did not answer."""

from __future__ import annotations

from typing import Any

import pytest

from affectstream.contract import EMOTIONS
from affectstream.decode import decode
from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, Event
from affectstream.tone import ToneGuide, default_policy, guidance, is_note, note
from affectstream.tone.reading import of_event, of_message
from affectstream.v1 import affect_pb2 as pb
from tests.unit.tone.policies import policy, rule

OK = pb.AFFECT_STATUS_OK


def decoded(**kind: Any) -> Event:
    found = decode(pb.SessionEvent(**kind))
    assert found is not None
    return found


def event(label: str, probability: float = 0.9, arousal: float | None = 0.5, **fields: Any) -> AffectEvent:
    message = pb.AffectEvent(**{"status": OK, "stage": pb.STAGE_FINAL, "top_label": label, **fields})
    message.emotions.add(label=label, probability=probability)
    if arousal is not None:
        message.dimensions.arousal = arousal
    found = decoded(affect=message)
    assert isinstance(found, AffectEvent)
    return found


@pytest.mark.parametrize("label", EMOTIONS)
@pytest.mark.parametrize("arousal", [None, 0.0, 0.5, 1.0])
def test_every_label_gives_one_modest_sentence(label: str, arousal: float | None) -> None:
    advice = guidance(event(label, arousal=arousal))
    assert advice is not None
    assert advice.text.startswith("The speaker may sound ")
    assert "may fit" in advice.text
    assert advice.text.count(".") == 1
    assert advice.style_tags
    assert advice.rule
    assert advice.language_code == "en"
    assert not any(word in advice.text for word in ("depress", "anxi", "disorder", "definitely", " is "))


def test_a_label_that_is_not_likely_enough_says_nothing() -> None:
    assert guidance(event("angry", 0.8)) is not None
    assert guidance(event("angry", 0.79)) is None


def test_it_speaks_the_language_that_was_asked_for() -> None:
    advice = guidance(event("angry"), "de-AT")
    assert advice is not None
    assert advice.language_code == "de"
    assert "Stimme" in advice.text


@pytest.mark.parametrize("status", [status for status in AffectStatus if status != AffectStatus.OK])
def test_without_values_there_is_no_guidance(status: AffectStatus) -> None:
    message = pb.AffectEvent(
        status=pb.AffectStatus.ValueType(status), top_label="angry", stage=pb.STAGE_FINAL
    )
    message.guidance.text = "Never shown."
    found = decode(pb.SessionEvent(affect=message))
    assert isinstance(found, AffectEvent)
    assert guidance(found) is None
    assert ToneGuide().hear(found) is None


def test_an_unknown_label_gives_none_and_the_servers_own_guidance_wins() -> None:
    assert guidance(event("sarcastic")) is None
    own = guidance(event("sarcastic", guidance=pb.Guidance(text="Be brief.", style_tags=["brief"])))
    assert own is not None
    assert own.text == "Be brief."


@pytest.mark.parametrize("language", ["", "de"])
def test_a_note_is_found_again(language: str) -> None:
    advice = guidance(event("happy"), language)
    assert advice is not None
    text = note(advice)
    assert advice.text in text
    assert is_note(text)
    assert not is_note("I sound happy, do I?")


def test_a_guide_remembers_what_came_before() -> None:
    guide = ToneGuide(policy(rule(enter_after=2)))
    told = [guide.hear(event("angry", level)) for level in (0.9, 0.9, 0.5, 0.3)]
    assert [advice.rule if advice is not None else "" for advice in told] == ["", "upset", "upset", ""]


def test_a_guide_passes_over_what_is_no_last_word() -> None:
    guide = ToneGuide(policy(rule(enter_after=2)))
    assert guide.hear(event("angry", stage=pb.STAGE_PROVISIONAL)) is None
    assert guide.hear(decoded(progress=pb.Progress())) is None
    assert guide.hear(event("angry")) is None, "the provisional one did not count"
    assert guide.hear(event("angry")) is not None


def test_where_the_server_has_a_policy_it_alone_speaks() -> None:
    guide = ToneGuide()
    guide.hear(decoded(session_started=pb.SessionStarted(guidance_policy="theirs")))
    assert guide.hear(event("angry")) is None
    own = guide.hear(event("angry", guidance=pb.Guidance(text="Be brief.")))
    assert own is not None
    assert own.text == "Be brief."
    without = ToneGuide()
    without.hear(decoded(session_started=pb.SessionStarted()))
    assert without.hear(event("angry")) is not None


def test_a_policy_that_was_asked_for_speaks_whatever_the_server_says() -> None:
    guide = ToneGuide(policy(rule(enter_after=2)))
    guide.hear(decoded(session_started=pb.SessionStarted(guidance_policy="theirs")))
    theirs = pb.Guidance(text="Be brief.", rule="theirs")
    told = [guide.hear(event("angry", guidance=theirs)) for _ in range(2)]
    assert [advice.rule if advice is not None else "" for advice in told] == ["", "upset"]


def test_turns_are_heard_too() -> None:
    message = pb.TurnAffect(turn_id="t", status=OK, top_label="angry")
    message.emotions.add(label="angry", probability=0.9)
    advice = ToneGuide().hear(decoded(turn_affect=message))
    assert advice is not None
    assert advice.rule == "upset"


def test_client_and_server_read_an_event_alike() -> None:
    change = pb.BaselineChange(arousal=2.5, arousal_step=-0.25, utterances=7)
    message = pb.AffectEvent(status=OK, stage=pb.STAGE_FINAL, change=change)
    message.audio_end.FromMilliseconds(1_500)
    message.dimensions.arousal = 0.75
    message.dimensions.polar.octant = 3
    message.emotions.add(label="sad", probability=0.5)
    found = decoded(affect=message)
    assert isinstance(found, AffectEvent)
    assert of_event(found) == of_message(message)
    assert dict(of_message(message).levels) == {"arousal": 0.75, "arousal_change": 2.5, "arousal_step": -0.25}
    assert of_message(message).end_s == 1.5
    turn = pb.TurnAffect(status=OK)
    assert of_message(turn).kind == "turn"


def test_the_policy_that_comes_along_is_read_once() -> None:
    assert ToneGuide().policy is default_policy() is ToneGuide().policy


def test_withdrawn_consent_makes_it_forget() -> None:
    guide = ToneGuide(policy(rule(enter_after=2)))
    withheld = decoded(affect=pb.AffectEvent(status=pb.AFFECT_STATUS_CONSENT_WITHHELD, stage=pb.STAGE_FINAL))
    said = [guide.hear(each) for each in (event("angry"), withheld, event("angry"), event("angry"))]
    assert [advice is not None for advice in said] == [False, False, False, True]
