"""What counts for a reply: the speech since the one before, whatever stream carried it."""

from __future__ import annotations

from typing import Any

import pytest

from affectstream.decode import decode
from affectstream.events import Event
from affectstream.integrations.recent import Recent
from affectstream.v1 import affect_pb2 as pb

RATE = 16_000


def final(
    end_s: float, label: str = "angry", speech_s: float = 1.0, entropy: float = 0.5, **fields: Any
) -> Event:
    message = pb.AffectEvent(
        utterance_id=f"u{end_s}",
        stage=pb.STAGE_FINAL,
        top_label=label,
        **{"status": pb.AFFECT_STATUS_OK, **fields},
    )
    message.audio_end.FromMicroseconds(round(end_s * 1e6))
    message.quality.speech_duration.FromMicroseconds(round(speech_s * 1e6))
    message.uncertainty.entropy = entropy
    return decoded(affect=message)


def decoded(**kind: Any) -> Event:
    event = decode(pb.SessionEvent(**kind))
    assert event is not None
    return event


def recent(*, caller_detects: bool = True) -> Recent:
    return Recent(RATE, caller_detects=caller_detects)


def awaits(heard: Recent) -> bool:
    return heard.is_awaited


def label(heard: Recent) -> str | None:
    event = heard.affect()
    return event.top_label if event is not None else None


def test_the_utterance_with_most_certain_speech_speaks_for_the_turn() -> None:
    heard = recent()
    for event in (
        final(1, "sad", speech_s=2.0, entropy=0.9),
        final(2, "angry", speech_s=1.0, entropy=0.5),
        final(3, "happy", speech_s=0.5, entropy=0.2),
    ):
        heard.note(event)
    assert label(heard) == "angry"


@pytest.mark.parametrize("status", [pb.AFFECT_STATUS_ABSTAINED, pb.AFFECT_STATUS_MODEL_ERROR])
def test_utterances_without_values_do_not_speak(status: pb.AffectStatus.ValueType) -> None:
    heard = recent()
    heard.note(final(1, status=status))
    assert label(heard) is None
    assert heard.is_unanswered


def test_what_was_answered_is_over_also_when_its_final_comes_late() -> None:
    heard = recent()
    heard.speech_ended(2 * RATE)
    assert awaits(heard)
    heard.answered_until = 3 * RATE
    assert not awaits(heard)
    heard.note(final(2))
    assert label(heard) is None
    assert not heard.is_unanswered


def test_a_final_of_the_callers_utterance_ends_the_wait_and_an_earlier_one_does_not() -> None:
    heard = recent()
    heard.speech_ended(2 * RATE)
    heard.note(final(1.5))
    assert awaits(heard)
    heard.note(final(2))
    assert not awaits(heard)


def test_a_control_without_effect_ends_the_wait() -> None:
    heard = recent()
    heard.speech_ended(2 * RATE)
    heard.note(decoded(warning=pb.Warning(code="CONTROL_WITHOUT_EFFECT", control_id="c1")))
    assert not awaits(heard)


def test_the_servers_utterances_are_awaited_from_their_start() -> None:
    heard = recent(caller_detects=False)
    heard.speech_ended(RATE)
    assert not awaits(heard)
    heard.note(decoded(speech_started=pb.SpeechStarted(utterance_id="u2")))
    assert awaits(heard)
    heard.note(final(2))
    assert not awaits(heard)


def test_positions_go_on_where_a_new_stream_begins() -> None:
    heard = recent()
    heard.answered_until = 10 * RATE
    heard.speech_ended(9 * RATE)
    heard.restart(10 * RATE)
    heard.note(final(1))
    assert label(heard) == "angry"
    assert not awaits(heard)
