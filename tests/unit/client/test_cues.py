"""Cues in words: what is remarkable, furthest first, and where."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from affectstream.commands.display import explained
from affectstream.cues import MOST, NAMES, describe
from affectstream.decode import decode
from affectstream.events import AffectEvent
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cues.catalogue import CUES


def event(
    *cues: pb.Cue, status: pb.AffectStatus.ValueType = pb.AFFECT_STATUS_OK, spans: tuple[float, ...] = ()
) -> AffectEvent:
    message = pb.AffectEvent(status=status, top_label="angry", cues=cues)
    for start, end in zip(spans[::2], spans[1::2], strict=True):
        bounds = (Duration(), Duration())
        for bound, at_s in zip(bounds, (start, end), strict=True):
            bound.FromNanoseconds(round(at_s * 1e9))
        message.saliency.add(audio_start=bounds[0], audio_end=bounds[1], weight=0.4)
    decoded = decode(pb.SessionEvent(affect=message))
    assert isinstance(decoded, AffectEvent)
    return decoded


PITCH = pb.Cue(
    name="pitch_median", value=203.6, unit="Hz", z_score=1.1, salient_value=250, salient_z_score=1.44
)
LEVEL = pb.Cue(
    name="energy_mean",
    value=-23.4,
    unit="dBFS",
    z_score=0.6,
    salient_value=-19,
    other_value=-25,
    salient_z_score=2.1,
)


def test_what_lies_in_the_spans_is_told_with_where_furthest_first() -> None:
    told = describe(event(PITCH, LEVEL, spans=(1.2, 1.9)))
    assert told == "angry: louder (+2.1 sd), higher (+1.4 sd) in 1.2-1.9 s"


def test_without_spans_the_whole_utterance_is_told() -> None:
    cues = [pb.Cue(name="pitch_median", value=100, z_score=-2), pb.Cue(name="jitter", value=1, z_score=0.2)]
    assert describe(event(*cues)) == "angry: lower (-2.0 sd)"


def test_a_label_that_is_not_to_be_acted_on_is_not_told() -> None:
    unsure = event(PITCH, status=pb.AFFECT_STATUS_ABSTAINED)
    assert "angry" not in describe(unsure)
    assert "higher" in describe(unsure)


def test_before_a_baseline_values_are_told_as_they_are() -> None:
    cues = [pb.Cue(name=cue.name, value=cue.value, unit=cue.unit) for cue in (PITCH, LEVEL)]
    assert describe(event(*cues)) == "angry: pitch 204 Hz, level -23 dBFS"


def test_nothing_remarkable_and_nothing_at_all() -> None:
    assert describe(event(pb.Cue(name="hnr", value=12, z_score=0.4))) == "angry: as usual for this speaker"
    assert describe(event()) == ""
    assert explained(event()) == ""
    assert explained(event(spans=(0, 0.5, 1, 1.25))) == "rests on 0.0-0.5 s, 1.0-1.2 s"


def test_few_are_told_and_cues_of_a_newer_server_do_no_harm() -> None:
    every = [pb.Cue(name=name, value=1, z_score=3) for name in NAMES]
    told = describe(event(*every, pb.Cue(name="creak", value=1, z_score=9)))
    assert told.count("sd") == MOST
    assert "creak" not in told


def test_the_numbers_inside_and_outside_reach_the_event() -> None:
    cue = event(LEVEL).cues[0]
    assert cue.salient_value == -19
    assert cue.other_value == -25
    assert event(PITCH).cues[0].other_value is None


def test_there_are_words_for_every_cue_that_the_server_gives() -> None:
    assert {cue.name for cue in CUES} == set(NAMES)
