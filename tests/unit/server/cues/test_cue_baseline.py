"""How an utterance's cues differ from the speaker's own."""

from __future__ import annotations

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.baseline import LEAST_UTTERANCES
from affectstream_server.stages.cue_baseline import CueBaselines


def final(hz: float, salient_hz: float | None = None, **fields: float) -> pb.AffectEvent:
    cue = pb.Cue(name="pitch_median", unit="Hz", value=hz, salient_value=salient_hz)
    others = [pb.Cue(name=name, value=value) for name, value in fields.items()]
    return pb.AffectEvent(status=pb.AFFECT_STATUS_ABSTAINED, cues=[cue, *others])


def heard(baselines: CueBaselines, *pitches: float, channel: int = 0) -> list[pb.AffectEvent]:
    finals = [final(hz) for hz in pitches]
    for one in finals:
        baselines.compare(channel, one)
    return finals


def test_the_first_utterances_are_the_baseline_and_are_not_judged() -> None:
    finals = heard(CueBaselines(), *[200.0] * LEAST_UTTERANCES, 200.0)
    assert not any(one.cues[0].HasField("z_score") for one in finals[:LEAST_UTTERANCES])
    assert finals[-1].cues[0].z_score == pytest.approx(0)


def test_pitch_counts_as_the_ear_hears_it() -> None:
    """An octave up is as far as an octave down."""
    baselines = CueBaselines()
    heard(baselines, 200, 200, 200, 200)
    (up,) = heard(baselines, 220)
    other = CueBaselines()
    heard(other, 200, 200, 200, 200)
    (down,) = heard(other, 200**2 / 220)
    assert up.cues[0].z_score == pytest.approx(-down.cues[0].z_score)
    assert up.cues[0].z_score > 2


def test_what_lies_inside_the_spans_is_held_against_whole_utterances() -> None:
    baselines = CueBaselines()
    heard(baselines, 200, 205, 195, 200)
    event = final(204, salient_hz=240)
    baselines.compare(0, event)
    assert event.cues[0].salient_z_score > event.cues[0].z_score + 1


def test_a_cue_that_is_missing_now_and_then_has_a_baseline_of_its_own() -> None:
    baselines = CueBaselines()
    for number in range(LEAST_UTTERANCES + 1):
        event = final(200, **({"jitter": 1.0} if number % 2 else {}))
        baselines.compare(0, event)
    assert event.cues[0].HasField("z_score")
    both = final(200, jitter=1.0)
    baselines.compare(0, both)
    assert not both.cues[1].HasField("z_score")


def test_each_channel_has_its_own_and_consent_withdrawn_clears_all() -> None:
    baselines = CueBaselines()
    heard(baselines, *[200.0] * LEAST_UTTERANCES)
    (stranger,) = heard(baselines, 100, channel=1)
    assert not stranger.cues[0].HasField("z_score")
    baselines.clear()
    (forgotten,) = heard(baselines, 200)
    assert not forgotten.cues[0].HasField("z_score")
