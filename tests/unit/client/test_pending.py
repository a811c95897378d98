"""Which controls a new call, and a new session, is given again."""

from __future__ import annotations

from typing import Any

import pytest

from affectstream import ResourceExhausted
from affectstream.pending import MOST_PENDING, Pending
from affectstream.v1 import affect_pb2 as pb

CONSENT: dict[str, Any] = {"consent_withdrawn": pb.ConsentWithdrawn()}
PAUSE: dict[str, Any] = {"audio_paused": pb.AudioPaused()}
RESUME: dict[str, Any] = {"audio_resumed": pb.AudioResumed()}
AGENT: dict[str, Any] = {"agent_speech_started": pb.AgentSpeechStarted()}
AGENT_ENDED: dict[str, Any] = {"agent_speech_ended": pb.AgentSpeechEnded()}
FLUSH: dict[str, Any] = {"flush_utterance": pb.FlushUtterance()}
SPEECH: dict[str, Any] = {"speech_started": pb.CallerSpeechStarted()}


def turn(name: str) -> dict[str, Any]:
    return {"turn_started": pb.TurnStarted(turn_id=name)}


def given(*controls: dict[str, Any]) -> Pending:
    """Controls with the ids 1, 2, …, at positions 10, 20, …"""
    pending = Pending()
    for number, control in enumerate(controls, start=1):
        pending.add(pb.Control(control_id=str(number), **control), 10 * number)
    return pending


def ids(pending: Pending) -> list[tuple[str, int]]:
    found, number = [], 0
    while (item := pending.after(number)) is not None:
        found.append((item.control.control_id, item.at))
        number = item.number
    return found


def test_what_was_not_acknowledged_waits_in_its_place() -> None:
    pending = given(FLUSH, turn("a"), FLUSH)
    pending.acknowledge("2")
    pending.acknowledge("nobody's")
    assert ids(pending) == [("1", 10), ("3", 30)]


def test_a_new_session_is_told_what_lasts() -> None:
    pending = given(CONSENT, turn("a"), AGENT, FLUSH, PAUSE, SPEECH)
    for control_id in "123456":
        pending.acknowledge(control_id)
    assert ids(pending) == []
    pending.begin_anew()
    assert ids(pending) == [("1", 10), ("2", 20), ("3", 30), ("5", 50), ("6", 60)], "all but the flush"


def test_what_has_ended_does_not_last_and_consent_never_comes_back() -> None:
    ended = {"turn_ended": pb.TurnEnded(turn_id="a")}
    pending = given(turn("a"), ended, CONSENT, AGENT, AGENT_ENDED, PAUSE, RESUME, SPEECH, FLUSH)
    for control_id in "123456789":
        pending.acknowledge(control_id)
    pending.begin_anew()
    assert ids(pending) == [("3", 30)]


def test_one_channels_agent_ends_alone_and_all_of_them_together() -> None:
    on_0, on_1 = AGENT | {"channel": 0}, AGENT | {"channel": 1}
    pending = given(on_0, on_1, AGENT_ENDED | {"channel": 0})
    for control_id in "123":
        pending.acknowledge(control_id)
    pending.begin_anew()
    assert ids(pending) == [("2", 20)]
    both = given(on_0, on_1, AGENT_ENDED)
    for control_id in "123":
        both.acknowledge(control_id)
    both.begin_anew()
    assert ids(both) == []


def test_no_more_wait_than_may_and_the_end_always_may() -> None:
    pending = given(*[FLUSH] * MOST_PENDING)
    with pytest.raises(ResourceExhausted, match=f"{MOST_PENDING} controls wait") as full:
        pending.add(pb.Control(control_id="more", **FLUSH), 1)
    assert full.value.reason == "CONTROLS_PENDING"
    pending.add(pb.Control(control_id="end", end_of_audio=pb.EndOfAudio()), 1)
    assert pending.is_ended
