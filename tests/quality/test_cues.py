"""Cues hold the error that is stated, and tell angry from sad speech as is known."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from affectstream_server.cues.catalogue import CUES, Cue
from affectstream_server.scoring.embedded import EmbeddedScorer
from quality.acted import KNOWN, directions, spans_on_anger
from quality.clips import AUDIO_VARIABLE
from quality.cues import LEAST_GIVEN, Rows, judge_one, judge_together

pytestmark = pytest.mark.timeout(300)
needs_speech = pytest.mark.skipif(
    AUDIO_VARIABLE not in os.environ, reason=f"{AUDIO_VARIABLE} names no recordings"
)


@pytest.mark.parametrize("cue", CUES, ids=lambda cue: cue.name)
def test_a_cue_that_is_given_holds_its_stated_error_at_every_noise(cue: Cue) -> None:
    rows = judge_one(cue, voices=12, seed=2)
    given = {noise_db: errors for noise_db, errors in rows.items() if errors.given >= LEAST_GIVEN}
    assert max(given) == max(rows), "it is given in quiet"
    assert {noise_db: errors.most for noise_db, errors in given.items() if errors.most > cue.error} == {}


@pytest.fixture(scope="module")
def together() -> Rows:
    """Everything varied at once: what one property does to the cue of another."""
    return judge_together(voices=24, seed=2)


@pytest.mark.parametrize("cue", CUES, ids=lambda cue: cue.name)
def test_it_holds_it_whatever_else_the_voice_is_like(cue: Cue, together: Rows) -> None:
    given = {noise: errors for noise, errors in together[cue.name].items() if errors.given >= LEAST_GIVEN}
    assert given
    assert {noise_db: errors.most for noise_db, errors in given.items() if errors.most > cue.error} == {}


@needs_speech
def test_angry_speech_is_higher_and_stronger_than_sad_of_the_same_speaker() -> None:
    found = directions(Path(os.environ[AUDIO_VARIABLE]), "test")
    for name in KNOWN:
        assert len(found[name].differences) == 4
    for name in ("pitch_median", "energy_over_noise", "energy_range", "spectral_tilt"):
        assert found[name].up >= 0.9, (name, found[name].differences)


@needs_speech
async def test_where_a_calm_and_an_angry_clip_meet_anger_rests_on_the_angry_one() -> None:
    scorer = EmbeddedScorer()
    shares = await spans_on_anger(Path(os.environ[AUDIO_VARIABLE]), scorer)
    await scorer.close()
    assert len(shares) >= 5, "called angry"
    assert sum(shares) / len(shares) >= 0.8
