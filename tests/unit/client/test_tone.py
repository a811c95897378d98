"""Guidance says no more than is known, and nothing where the model did not answer."""

from __future__ import annotations

import pytest

from affectstream.contract import EMOTIONS
from affectstream.decode import decode
from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent
from affectstream.tone import guidance, is_note, note
from affectstream.v1 import affect_pb2 as pb


def event(label: str, probability: float = 0.9, arousal: float | None = 0.5, **fields: object) -> AffectEvent:
    message = pb.AffectEvent(status=pb.AFFECT_STATUS_OK, top_label=label, **fields)  # type: ignore[arg-type]
    message.emotions.add(label=label, probability=probability)
    if arousal is not None:
        message.dimensions.arousal = arousal
    decoded = decode(pb.SessionEvent(affect=message))
    assert isinstance(decoded, AffectEvent)
    return decoded


@pytest.mark.parametrize("label", EMOTIONS)
@pytest.mark.parametrize("arousal", [None, 0.0, 0.5, 1.0])
def test_every_label_gives_one_modest_sentence(label: str, arousal: float | None) -> None:
    advice = guidance(event(label, arousal=arousal))
    assert advice is not None
    assert advice.text.startswith("The speaker sounds ")
    assert "may fit" in advice.text
    assert advice.text.count(".") == 1
    assert advice.style_tags
    assert not any(word in advice.text for word in ("depress", "anxi", "disorder", "definitely", " is "))


def test_a_likely_label_sounds_so_and_a_less_likely_one_may() -> None:
    sure, unsure = guidance(event("angry", 0.6)), guidance(event("angry", 0.59))
    assert sure is not None
    assert unsure is not None
    assert "sounds upset" in sure.text
    assert "may sound upset" in unsure.text


@pytest.mark.parametrize(("arousal", "manner"), [(0.32, "little energy"), (0.34, ""), (0.68, "much energy")])
def test_arousal_is_named_at_its_ends_only(arousal: float, manner: str) -> None:
    advice = guidance(event("sad", arousal=arousal))
    assert advice is not None
    assert ("energy" in advice.text) == bool(manner)
    assert manner in advice.text


@pytest.mark.parametrize("status", [status for status in AffectStatus if status != AffectStatus.OK])
def test_without_values_there_is_no_guidance(status: AffectStatus) -> None:
    message = pb.AffectEvent(status=pb.AffectStatus.ValueType(status), top_label="angry")
    message.guidance.text = "Never shown."
    decoded = decode(pb.SessionEvent(affect=message))
    assert isinstance(decoded, AffectEvent)
    assert guidance(decoded) is None


def test_an_unknown_label_gives_none_and_the_servers_own_guidance_wins() -> None:
    assert guidance(event("sarcastic")) is None
    own = guidance(event("sarcastic", guidance=pb.Guidance(text="Be brief.", style_tags=["brief"])))
    assert own is not None
    assert own.text == "Be brief."


def test_a_note_is_found_again() -> None:
    advice = guidance(event("happy"))
    assert advice is not None
    text = note(advice)
    assert advice.text in text
    assert is_note(text)
    assert not is_note("I sound happy, do I?")
