"""Words find their utterance, are bounded, and are gone when it has its final."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.no_effect import NoEffect
from affectstream_server.stages.segment import Ended, Trigger
from affectstream_server.transcripts import MOST_SEGMENTS, Transcripts
from affectstream_server.utterance import Utterance

SECOND = 16_000


class Heard:
    """A channel of which so much is settled."""

    def __init__(self, index: int = 0, settled_until: int = 0) -> None:
        self.index = index
        self.settled_until = settled_until


class Words:
    """Transcripts with their warnings, in seconds."""

    def __init__(self, wait_ms: int = 0) -> None:
        self.warnings: list[tuple[str, str]] = []
        self.channel: Any = Heard()
        self.kept = Transcripts(lambda code, _, value: self.warnings.append((code, value)), wait_ms)

    def say(self, text: str, start_s: float, end_s: float, *, is_final: bool = True) -> None:
        said = pb.Transcript(
            text=text,
            start_samples=round(start_s * SECOND),
            end_samples=round(end_s * SECOND),
            is_final=is_final,
        )
        self.kept.take(said, [self.channel], SECOND, 100 * SECOND)


@pytest.fixture
def words() -> Words:
    return Words()


def utterance(start_s: float, end_s: float, name: str = "u1", channel: int = 0) -> Utterance:
    start, end = round(start_s * SECOND), round(end_s * SECOND)
    bounds = Ended(
        audio_start=start,
        audio_end=end,
        speech_end=end,
        speech_samples=end - start,
        decidable_at=end,
        trigger=Trigger.SPEECH_ENDED,
    )
    audio = np.zeros(end - start, np.int16)
    return Utterance(name, "", channel, bounds, audio, barge_in=False, decision_ms=None)


def test_segments_of_an_utterance_come_in_order_of_their_start(words: Words) -> None:
    words.say("world", 2, 3)
    words.say("hello", 1, 2)
    words.say("elsewhere", 6, 7)
    assert words.kept.of(utterance(0.9, 3.1)) == "hello world"
    assert len(words.kept) == 1, "what was said in it is gone"
    assert words.kept.of(utterance(5.9, 7.1, "u2")) == "elsewhere"
    assert len(words.kept) == 0
    assert words.warnings == []


@pytest.mark.parametrize(
    ("span", "belongs"),
    [
        ((1, 3), True),
        ((0, 2.1), True),  # 1.1 of 2 s
        ((0, 1.9), False),  # 0.9 of 1.9 s
        ((2.6, 4), False),  # 0.4 of 1.4 s
        ((0, 9), True),  # all of the utterance, which is the shorter
        ((1.5, 1.6), True),
    ],
)
def test_half_of_the_shorter_must_be_shared(words: Words, span: tuple[float, float], belongs: bool) -> None:
    words.say("x", *span)
    assert (words.kept.of(utterance(1, 3)) == "x") is belongs


def test_a_segment_over_two_utterances_is_of_both(words: Words) -> None:
    words.say("both", 1, 5)
    assert words.kept.of(utterance(1, 2.8)) == "both"
    assert words.kept.of(utterance(3.2, 5, "u2")) == "both"


def test_other_channels_have_their_own_words(words: Words) -> None:
    words.say("mine", 1, 3)
    assert words.kept.of(utterance(1, 3, channel=1)) == ""
    assert words.kept.of(utterance(1, 3)) == "mine"


def test_what_is_not_final_or_empty_is_passed_over(words: Words) -> None:
    words.say("so far", 1, 3, is_final=False)
    words.say(" \n", 1, 3)
    assert len(words.kept) == 0


@pytest.mark.parametrize(
    ("span", "text", "code"),
    [
        ((3, 3), "x", "POSITION_OUT_OF_RANGE"),
        ((3, 2), "x", "POSITION_OUT_OF_RANGE"),
        ((-1, 2), "x", "POSITION_OUT_OF_RANGE"),
        ((99, 101), "x", "POSITION_OUT_OF_RANGE"),
        ((1, 2), "ä" * 2049, "TRANSCRIPT_TOO_LONG"),
    ],
)
def test_what_cannot_be_taken_says_why(words: Words, span: tuple[float, float], text: str, code: str) -> None:
    with pytest.raises(NoEffect) as told:
        words.say(text, *span)
    assert told.value.code == code
    assert told.value.limit
    assert text[:3] not in str(told.value.value)


def test_late_words_are_told_whose_they_were(words: Words) -> None:
    words.kept.of(utterance(1, 3, "u7"))
    with pytest.raises(NoEffect) as told:
        words.say("too late", 1, 3)
    assert (told.value.code, told.value.value) == ("TRANSCRIPT_TOO_LATE", "u7")


def test_words_of_a_stretch_where_nobody_spoke(words: Words) -> None:
    words.channel.settled_until = 5 * SECOND
    with pytest.raises(NoEffect) as told:
        words.say("nobody", 1, 3)
    assert (told.value.code, told.value.value) == ("TRANSCRIPT_WITHOUT_UTTERANCE", "1000 to 3000 ms")
    words.kept.ended(utterance(1, 3))
    words.say("somebody", 1, 3)
    assert words.kept.of(utterance(1, 3)) == "somebody", "it had ended, and its score was on its way"


def test_words_that_turn_out_to_be_nobodys_are_told_later(words: Words) -> None:
    words.say("early", 1, 2)
    words.kept.of(utterance(4, 6))
    assert words.warnings == [("TRANSCRIPT_WITHOUT_UTTERANCE", "1000 to 2000 ms")]
    words.say("last", 8, 9)
    words.kept.close()
    assert words.warnings[1:] == [("TRANSCRIPT_WITHOUT_UTTERANCE", "8000 to 9000 ms")]
    assert len(words.kept) == 0


def test_the_oldest_goes_where_too_many_wait(words: Words) -> None:
    for place in range(MOST_SEGMENTS + 3):
        words.say("x", place, place + 1)
    assert len(words.kept) == MOST_SEGMENTS
    assert [value for _, value in words.warnings] == ["0 to 1000 ms", "1000 to 2000 ms", "2000 to 3000 ms"]


def test_withdrawn_consent_forgets_and_takes_no_more(words: Words) -> None:
    words.say("secret", 1, 3)
    words.kept.clear()
    words.say("more", 1, 3)
    assert len(words.kept) == 0
    assert words.kept.of(utterance(1, 3)) == ""


class TestWaiting:
    async def test_words_to_about_the_end_end_it(self) -> None:
        words = Words(wait_ms=30_000)
        waiting = asyncio.create_task(words.kept.wait_for(utterance(1, 3)))
        words.say("hel", 1, 2)
        await asyncio.sleep(0.01)
        assert not waiting.done(), "the end is still to come"
        words.say("lo", 2, 2.8)
        await asyncio.wait_for(waiting, 5)

    async def test_it_ends_by_itself(self) -> None:
        await asyncio.wait_for(Words(wait_ms=20).kept.wait_for(utterance(1, 3)), 5)

    async def test_it_ends_when_nothing_can_come(self) -> None:
        words = Words(wait_ms=30_000)
        waiting = asyncio.create_task(words.kept.wait_for(utterance(1, 3)))
        await asyncio.sleep(0)
        words.kept.end()
        await asyncio.wait_for(waiting, 5)
