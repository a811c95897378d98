"""Lags and finals of made-up events, by hand."""

from __future__ import annotations

import pytest

from affectstream.v1 import affect_pb2 as pb
from bench.account import Account, Heard
from bench.scenario import Scenario, Schedule

MS = 1_000_000
ORIGIN_NS = 1_800_000_000_000 * MS
SCHEDULE = Schedule(Scenario(streams=2, frame_ms=20, seconds=5.0, warmup_s=1.5, ramp_s=0.5), ORIGIN_NS)


class Conversation:
    """Events of one stream, each at a time in ms after the scenario's beginning."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def say(self, at_ms: float, event: pb.SessionEvent, *, received_ms: float | None = None) -> None:
        event.sequence = len(self.heard) + 1
        event.server_time.FromNanoseconds(ORIGIN_NS + round(at_ms * MS))
        received_ns = ORIGIN_NS + round((at_ms + 1 if received_ms is None else received_ms) * MS)
        self.heard.append(Heard(received_ns, event))

    def end(
        self,
        name: str,
        at_ms: float,
        decidable_ms: int,
        trigger: pb.Trigger.ValueType = pb.TRIGGER_SPEECH_ENDED,
    ) -> None:
        ended = pb.SpeechEnded(utterance_id=name, trigger=trigger)
        ended.decidable_at.FromMilliseconds(decidable_ms)
        ended.speech_end.FromMilliseconds(decidable_ms - 256)
        self.say(at_ms, pb.SessionEvent(speech_ended=ended))

    def final(
        self, name: str, at_ms: float, *, received_ms: float | None = None, speculated: bool = False
    ) -> None:
        timing = pb.Timing(compute_ms=4.0, speculated=speculated)
        affect = pb.AffectEvent(
            utterance_id=name, stage=pb.STAGE_FINAL, status=pb.AFFECT_STATUS_OK, timing=timing
        )
        self.say(at_ms, pb.SessionEvent(affect=affect), received_ms=received_ms)

    def close(self, at_ms: float) -> None:
        closed = pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)
        self.say(at_ms, pb.SessionEvent(session_closed=closed))


def accounted(conversation: Conversation, stream: int = 0) -> Account:
    account = Account()
    account.add_stream(stream, conversation.heard, SCHEDULE)
    return account


def lags(account: Account) -> dict[str, float | None]:
    return {name: times.percentile_ms(100.0) for name, times in account.lags.items()}


def test_three_lags_from_due_to_declared_to_emitted_to_received() -> None:
    talk = Conversation()
    talk.end("u1", at_ms=2_988.5, decidable_ms=3_000)  # sample 47,999 is in frame 149, due at 2,980 ms
    talk.final("u1", at_ms=2_992, received_ms=2_993.25)
    talk.close(8_000)
    account = accounted(talk)
    assert account.faults == []
    assert len(account.lags["final_lag_hit_ms"]) == 0
    assert {name: lag for name, lag in lags(account).items() if lag is not None} == pytest.approx(
        {
            "hangover_ms": 256,
            "decision_lag_ms": 8.5,
            "final_lag_ms": 3.5,
            "final_lag_miss_ms": 3.5,
            "client_lag_ms": 13.25,
        },
        rel=0.001,
    )
    assert (account.declared, account.delivered, account.statuses) == (1, 1, {"OK": 1})
    assert account.compute_ms == 4.0


def test_hits_and_misses_of_scoring_ahead_are_kept_apart() -> None:
    talk = Conversation()
    talk.end("hit", at_ms=3_000, decidable_ms=2_990)
    talk.final("hit", at_ms=3_000.5, speculated=True)
    talk.end("miss", at_ms=4_000, decidable_ms=3_990)
    talk.final("miss", at_ms=4_006)
    talk.say(
        8_000, pb.SessionEvent(session_summary=pb.SessionSummary(speculations_used=1, speculations_dropped=3))
    )
    talk.close(8_000)
    account = accounted(talk)
    assert account.lags["final_lag_hit_ms"].percentile_ms(100.0) == pytest.approx(0.5, rel=0.001)
    assert account.lags["final_lag_miss_ms"].percentile_ms(100.0) == pytest.approx(6, rel=0.001)
    assert len(account.lags["final_lag_ms"]) == 2
    assert (account.scores_used, account.scores_dropped) == (1, 3)


def test_the_second_stream_counts_from_its_own_start() -> None:
    talk = Conversation()
    talk.end("u1", at_ms=3_240, decidable_ms=3_000)  # 250 ms after the first: due at 3,230 ms
    talk.final("u1", at_ms=3_242)
    talk.close(8_000)
    assert lags(accounted(talk, stream=1))["decision_lag_ms"] == pytest.approx(10, rel=0.001)


def test_endpoints_outside_the_window_are_delivered_but_not_timed() -> None:
    talk = Conversation()
    talk.end("early", at_ms=1_500, decidable_ms=1_500)
    talk.final("early", at_ms=1_502)
    talk.end("last", at_ms=7_010, decidable_ms=7_020)
    talk.final("last", at_ms=7_012)
    talk.close(8_000)
    account = accounted(talk)
    assert (account.declared, account.delivered) == (2, 2)
    assert not any(len(times) for times in account.lags.values())


def test_an_endpoint_that_no_sample_decided_has_no_lag() -> None:
    talk = Conversation()
    talk.end("u1", at_ms=5_000, decidable_ms=3_000, trigger=pb.TRIGGER_END_OF_AUDIO)
    talk.final("u1", at_ms=5_002)
    talk.close(8_000)
    account = accounted(talk)
    assert account.delivered == 1
    assert not any(len(times) for times in account.lags.values())


def test_a_missing_a_double_and_an_unannounced_final_are_faults() -> None:
    talk = Conversation()
    talk.end("missing", at_ms=3_000, decidable_ms=3_000)
    talk.end("double", at_ms=4_000, decidable_ms=4_000)
    talk.final("double", at_ms=4_002)
    talk.final("double", at_ms=4_003)
    talk.final("unannounced", at_ms=4_500)
    talk.close(8_000)
    account = accounted(talk)
    assert (account.declared, account.delivered) == (2, 0)
    assert sorted(account.faults) == [
        "stream 0: double: 2 finals",
        "stream 0: missing: 0 finals",
        "stream 0: unannounced: a final before its end was declared",
    ]
    assert len(account.lags["final_lag_ms"]) == 1


def test_provisional_events_are_no_finals() -> None:
    talk = Conversation()
    talk.say(2_500, pb.SessionEvent(affect=pb.AffectEvent(utterance_id="u1", stage=pb.STAGE_PROVISIONAL)))
    talk.end("u1", at_ms=3_000, decidable_ms=3_000)
    talk.final("u1", at_ms=3_002)
    talk.close(8_000)
    account = accounted(talk)
    assert (account.delivered, account.faults) == (1, [])


def test_a_hole_in_the_sequence_is_a_fault() -> None:
    talk = Conversation()
    talk.end("u1", at_ms=3_000, decidable_ms=3_000)
    talk.final("u1", at_ms=3_002)
    talk.close(8_000)
    talk.heard[2].event.sequence = 4
    assert accounted(talk).faults == ["stream 0: event 3 has sequence 4"]


def test_a_stream_that_is_not_closed_is_a_fault() -> None:
    assert accounted(Conversation()).faults == ["stream 0: no session_closed after the end of audio"]


def test_an_answer_before_its_question_is_a_fault_and_no_lag() -> None:
    talk = Conversation()
    talk.end("u1", at_ms=2_970, decidable_ms=3_000)
    talk.final("u1", at_ms=2_975, received_ms=2_981)
    talk.close(8_000)
    account = accounted(talk)
    assert account.faults == ["stream 0: u1: decision_lag_ms is -10.000; do the clocks agree?"]
    assert len(account.lags["decision_lag_ms"]) == 0
    assert len(account.lags["final_lag_ms"]) == 1
