"""The known sound and its known answer."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from affectstream_server.scoring.canary import TOLERANCE, Answer, CanaryFailed, canary_audio, known_answer
from affectstream_server.scoring.embedded import EmbeddedScorer

KNOWN = Answer((0.5, 0.3, 0.2), (0.6,))


def test_the_sound_is_the_same_on_every_machine() -> None:
    audio = canary_audio()
    assert audio.dtype == np.int16
    assert audio.shape == (16_000,)
    digest = hashlib.sha256(audio.astype("<i2").tobytes()).hexdigest()
    assert digest == "074aaaf093225af16d9f3fccc739f3379489d37f7efb78d5bbf01d251939bc85"


def test_an_answer_survives_its_way_through_a_configuration() -> None:
    found = known_answer({"affectstream.canary.3": KNOWN.to_json()}, "3")
    assert found == KNOWN
    assert known_answer({"affectstream.canary.3": KNOWN.to_json()}, "4") is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"probabilities": "x", "dimensions": []}'])
def test_an_answer_that_cannot_be_read_is_no_answer(text: str) -> None:
    with pytest.raises(CanaryFailed, match=r"canary\.1"):
        known_answer({"affectstream.canary.1": text}, "1")


def test_the_same_within_the_tolerance_passes() -> None:
    Answer((0.5 + TOLERANCE / 2, 0.3, 0.2 - TOLERANCE / 2), (0.6,)).compare(KNOWN)


@pytest.mark.parametrize(
    "other",
    [
        Answer((0.5 + 2 * TOLERANCE, 0.3, 0.2), (0.6,)),
        Answer((0.5, 0.3, 0.2), (0.6 - 2 * TOLERANCE,)),
        Answer((0.5, 0.5), (0.6,)),
        Answer((0.5, 0.3, 0.2), ()),
        Answer((float("nan"), 0.3, 0.2), (0.6,)),
    ],
)
def test_another_answer_fails_and_says_what_was_expected(other: Answer) -> None:
    with pytest.raises(CanaryFailed, match="expected"):
        other.compare(KNOWN)


async def test_a_corrupted_sound_gets_another_answer() -> None:
    """What the canary is for: a backend that passes on one sample for all of them."""
    scorer = EmbeddedScorer()
    audio = canary_audio()
    answers = []
    for sound in (
        audio,
        np.full_like(audio, audio[0]),
        np.zeros_like(audio),
        np.roll(audio, 1).view("<i2")[::-1],
    ):
        score = await scorer.score("canary", np.ascontiguousarray(sound), 10)
        answers.append(Answer(tuple(score.probabilities.tolist()), tuple(score.dimensions.tolist())))
    await scorer.close()
    for other in answers[1:3]:
        with pytest.raises(CanaryFailed):
            other.compare(answers[0])
