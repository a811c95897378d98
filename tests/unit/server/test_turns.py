"""Turns: which utterances are theirs, and how they weigh."""

from __future__ import annotations

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.timeline import duration
from affectstream_server.turns import Turns

SECOND = 16_000


def final(
    name: str,
    start_s: float,
    probabilities: tuple[float, ...] = (0.5, 0.5),
    *,
    speech_s: float = 1.0,
    entropy: float = 0.0,
    arousal: float | None = 0.5,
    status: pb.AffectStatus.ValueType = pb.AFFECT_STATUS_OK,
) -> pb.AffectEvent:
    event = pb.AffectEvent(utterance_id=name, status=status, stage=pb.STAGE_FINAL)
    event.audio_start.CopyFrom(duration(round(start_s * SECOND)))
    event.audio_end.CopyFrom(duration(round((start_s + speech_s) * SECOND)))
    event.quality.speech_duration.CopyFrom(duration(round(speech_s * SECOND)))
    if status in (pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED, pb.AFFECT_STATUS_LOW_SNR):
        for label, probability in zip(("calm", "angry"), probabilities, strict=True):
            event.emotions.add(label=label, probability=probability)
        event.uncertainty.entropy = entropy
        if arousal is not None:
            event.dimensions.arousal = arousal
    return event


def one_turn(*finals: pb.AffectEvent) -> pb.TurnAffect:
    turns = Turns()
    turns.start("t", 0)
    for event in finals:
        turns.began(event.utterance_id, round(event.audio_start.ToNanoseconds() / 1e9 * SECOND))
    turns.end(100 * SECOND)
    for event in finals:
        turns.add(event)
    (turn,) = turns.complete(100 * SECOND)
    return turn


def test_utterances_weigh_by_speech_and_certainty() -> None:
    # Weights 2 s x (1 - 0.5) = 1 and 3 s x (1 - 0) = 3.
    turn = one_turn(
        final("a", 0, (0.8, 0.2), speech_s=2, entropy=0.5, arousal=0.2),
        final("b", 5, (0.4, 0.6), speech_s=3, entropy=0.0, arousal=0.6),
    )
    assert [e.probability for e in turn.emotions] == pytest.approx([0.5, 0.5])
    assert turn.dimensions.arousal == pytest.approx(0.5)
    assert turn.uncertainty.entropy == pytest.approx(1.0)
    assert list(turn.utterance_ids) == ["a", "b"]
    assert turn.audio_end.seconds == 8


def test_a_turn_says_where_the_time_of_its_last_final_went() -> None:
    first, second = final("a", 0), final("b", 5)
    first.timing.compute_ms, first.traceparent = 40.0, "00-a"
    second.timing.compute_ms, second.traceparent = 4.0, "00-b"
    turn = one_turn(second, first)  # one of another channel, say, was scored sooner
    assert list(turn.utterance_ids) == ["a", "b"]
    assert (turn.timing, turn.traceparent) == (first.timing, "00-a")
    assert not one_turn().HasField("timing")


def test_what_is_not_acted_on_counts_only_where_there_is_nothing_else() -> None:
    ok = final("a", 0, (1.0, 0.0))
    unsure = final("b", 2, (0.0, 1.0), status=pb.AFFECT_STATUS_ABSTAINED)
    silent = final("c", 4, status=pb.AFFECT_STATUS_INSUFFICIENT_SPEECH)
    assert one_turn(ok, unsure, silent).top_label == "calm"
    assert one_turn(ok, unsure, silent).status == pb.AFFECT_STATUS_OK
    noisy = final("d", 6, (0.3, 0.7), status=pb.AFFECT_STATUS_LOW_SNR)
    assert one_turn(unsure, silent, noisy).status == pb.AFFECT_STATUS_ABSTAINED
    assert one_turn(silent, noisy).status == pb.AFFECT_STATUS_LOW_SNR
    assert one_turn(silent, noisy).top_label == "angry"
    assert one_turn(unsure, silent).top_label == "angry"
    alone = one_turn(silent)
    assert alone.status == pb.AFFECT_STATUS_INSUFFICIENT_SPEECH
    assert not alone.emotions


def test_utterances_sure_of_different_things_can_make_a_turn_that_is_not() -> None:
    turns = Turns(lambda label, probability: label == "calm" or probability >= 0.7)
    sure = {"a": [(0.9, 0.1)], "b": [(0.1, 0.9)], "all": [(0.9, 0.1), (0.1, 0.9), (0.2, 0.8)]}
    for place, (turn_id, utterances) in enumerate(sure.items()):
        turns.start(turn_id, place * SECOND)
        for number, shares in enumerate(utterances):
            turns.began(f"{turn_id}.{number}", place * SECOND)
            turns.add(final(f"{turn_id}.{number}", place, shares))
        turns.end((place + 1) * SECOND)
    found = {turn.turn_id: (turn.top_label, turn.status) for turn in turns.complete(4 * SECOND)}
    ok, abstained = pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED
    assert found == {
        "a": ("calm", ok),
        "b": ("angry", ok),
        "all": ("angry", abstained),
    }


def test_a_turn_is_calibrated_where_one_utterance_makes_it() -> None:
    def calibrated(name: str, start_s: float) -> pb.AffectEvent:
        event = final(name, start_s)
        event.uncertainty.calibrated = True
        return event

    assert one_turn(calibrated("a", 0)).uncertainty.calibrated
    assert not one_turn(calibrated("a", 0), calibrated("b", 2)).uncertainty.calibrated
    assert not one_turn(final("a", 0)).uncertainty.calibrated


def test_a_turn_with_both_dimensions_has_its_direction() -> None:
    event = final("a", 0, arousal=1.0)
    event.dimensions.valence = 0.0
    assert one_turn(event).dimensions.polar.octant == 4


def test_utterances_that_are_all_clueless_still_weigh_alike() -> None:
    turn = one_turn(final("a", 0, entropy=1.0, arousal=0.0), final("b", 2, entropy=1.0, arousal=1.0))
    assert turn.dimensions.arousal == pytest.approx(0.5)


def test_a_dimension_that_one_utterance_lacks_is_absent() -> None:
    assert not one_turn(final("a", 0), final("b", 2, arousal=None)).dimensions.HasField("arousal")


def test_a_turn_waits_for_the_final_of_an_utterance_that_is_still_open() -> None:
    turns = Turns()
    turns.start("t", 0)
    turns.began("a", SECOND)
    turns.end(2 * SECOND)
    assert turns.turn_of("a") == "t"
    assert not turns.complete(10 * SECOND)
    turns.add(final("a", 1))
    assert len(turns.complete(10 * SECOND)) == 1
    assert not turns.ended


def test_a_turn_waits_until_no_utterance_can_begin_in_it() -> None:
    turns = Turns()
    turns.start("t", 0)
    turns.end(2 * SECOND)
    assert not turns.complete(2 * SECOND - 1)
    turns.began("late", SECOND)
    assert not turns.complete(3 * SECOND), "declared after the turn ended, begun before"
    turns.add(final("late", 1))
    assert list(turns.complete(3 * SECOND)[0].utterance_ids) == ["late"]


def test_utterances_outside_a_turn_have_none() -> None:
    turns = Turns()
    turns.began("before", 0)
    turns.start("t", SECOND)
    turns.end(2 * SECOND)
    turns.began("after", 3 * SECOND)
    assert (turns.turn_of("before"), turns.turn_of("after")) == ("", "")
    turns.add(final("after", 3))
    assert not turns.complete(9 * SECOND)[0].utterance_ids


def test_a_turn_told_late_takes_the_utterances_that_began_in_it() -> None:
    turns = Turns()
    turns.began("before", SECOND)
    turns.began("inside", 3 * SECOND)
    turns.began("over", 3 * SECOND)
    turns.add(final("over", 3))
    turns.start("t", 2 * SECOND)
    assert [turns.turn_of(name) for name in ("before", "inside", "over")] == ["", "t", ""]
    turns.end(5 * SECOND)
    turns.add(final("inside", 3))
    turns.add(final("before", 1))
    assert list(turns.complete(9 * SECOND)[0].utterance_ids) == ["inside"]
