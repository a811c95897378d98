"""What is known of a session over its calls: no event twice, and how far it is."""

from __future__ import annotations

from typing import Any

from affectstream.decode import decode
from affectstream.events import Event, SessionStarted
from affectstream.session import Session
from affectstream.v1 import affect_pb2 as pb
from tests.unit.client.talk import duration


def event(sequence: int, **kind: Any) -> Event:
    decoded = decode(pb.SessionEvent(session_id="s", epoch=1, sequence=sequence, channel=0, **kind))
    assert decoded is not None
    return decoded


def started(sequence: int = 1, accepted: int = 0, token: bytes = b"t1", channels: int = 1) -> SessionStarted:
    message = pb.SessionStarted(
        resumed=sequence > 1,
        accepted_until_samples=accepted,
        resume_token=token,
        channels=[pb.ChannelConfig(index=i, analyze=True) for i in range(channels)],
    )
    decoded = event(sequence, session_started=message)
    assert isinstance(decoded, SessionStarted)
    return decoded


def progress(sequence: int, received: int = 0, final: int = 0) -> Event:
    return event(sequence, progress=pb.Progress(received_until_samples=received, final_until_samples=final))


def final(sequence: int, end_s: float) -> Event:
    affect = pb.AffectEvent(utterance_id="u", audio_end=duration(end_s), stage=pb.STAGE_FINAL)
    return event(sequence, affect=affect)


def test_no_event_is_taken_twice() -> None:
    session = Session(started(), 16_000, 0)
    assert [session.take(progress(n)) for n in (2, 3, 2, 3, 4)] == [True, True, False, False, True]
    assert session.resume().last_sequence == 4


def test_what_was_missed_comes_after_a_newer_session_started() -> None:
    session = Session(started(), 16_000, 0)
    session.take(progress(2))
    session.continue_with(started(5, token=b"t2"))
    assert session.resume().last_sequence == 2, "3 and 4 are still to come"
    assert session.resume().resume_token == b"t2"
    session.take(progress(3))
    session.continue_with(started(7, token=b"t3"))  # cut again before 4
    assert session.resume().last_sequence == 3
    taken = [session.take(each) for each in (progress(4), started(5), progress(6), progress(8))]
    assert taken == [True, False, True, True]
    assert session.resume().last_sequence == 8


def test_events_that_the_server_has_no_more_are_not_waited_for() -> None:
    session = Session(started(), 16_000, 0)
    session.take(progress(2))
    session.continue_with(started(40))
    assert session.take(progress(30))
    assert session.take(event(41, warning=pb.Warning(code="EVENTS_LOST")))
    assert session.resume().last_sequence == 41


def test_positions_count_on_from_an_earlier_session() -> None:
    session = Session(started(), 16_000, 100_000)
    session.take(progress(2, received=32_000, final=16_000))
    assert (session.received_until, session.final_until) == (132_000, 116_000)
    assert session.resume().audio_offset_samples == 32_000
    session.continue_with(started(4, accepted=48_000))
    assert (session.accepted_until, session.received_until) == (148_000, 148_000)


def test_speech_is_final_on_every_channel_or_not_at_all() -> None:
    session = Session(started(channels=2), 16_000, 0)
    session.take(final(2, 3.0))
    assert session.final_until == 0, "channel 1 has none"
    session.take(progress(3, final=16_000))
    assert session.final_until == 16_000
    alone = Session(started(), 16_000, 0)
    alone.take(final(2, 3.0))
    assert alone.final_until == 48_000


def test_utterances_without_a_final_are_named() -> None:
    session = Session(started(), 16_000, 0)
    session.take(event(2, speech_started=pb.SpeechStarted(utterance_id="u")))
    session.take(event(3, speech_started=pb.SpeechStarted(utterance_id="v")))
    session.take(final(4, 3.0))
    assert session.unfinished == ("v",)
    assert not session.is_closed
    session.take(event(5, session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_STREAM_AGE)))
    assert not session.is_closed
    session.take(event(6, session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)))
    assert session.is_closed
