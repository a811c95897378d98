"""The adaptive hang-over: its evidence, its range, what shortens and lengthens it."""

from __future__ import annotations

import math

import pytest

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.endpoint import ENOUGH_SPEECH_S, Phrase, Weights, weigh
from affectstream_server.stages.segment import Ended, Endpointing, Segmenter

USUAL = 8 * BLOCK_SAMPLES


def blocks_until_told(speech_blocks: int, hangover_ms: int = 256) -> int:
    """Silent blocks until the endpoint, after level speech of so many blocks."""
    segmenter = Segmenter(Endpointing.from_settings(EndpointingSettings(hangover_ms=hangover_ms)))
    for _ in range(speech_blocks):
        segmenter.push(0.99)
    for count in range(1, 200):
        if any(isinstance(boundary, Ended) for boundary in segmenter.push(0.01)):
            return count
    raise AssertionError("never told")


def test_a_short_beginning_is_waited_for_longer_than_a_whole_phrase() -> None:
    assert blocks_until_told(10) > blocks_until_told(60)


def test_speech_beyond_enough_changes_nothing() -> None:
    enough = math.ceil(ENOUGH_SPEECH_S * 16_000 / BLOCK_SAMPLES)
    assert blocks_until_told(enough) == blocks_until_told(10 * enough)


@pytest.mark.parametrize("hangover_ms", [32, 160, 256, 1_000])
@pytest.mark.parametrize("speech_blocks", [3, 20, 60])
def test_the_hangover_stays_within_its_range_of_the_usual_one(speech_blocks: int, hangover_ms: int) -> None:
    told_ms = blocks_until_told(speech_blocks, hangover_ms) * 32
    assert 0.625 * hangover_ms <= told_ms < 3.5 * hangover_ms + 32


def test_by_default_no_endpoint_comes_before_160_ms() -> None:
    assert min(blocks_until_told(count) for count in range(3, 120)) >= 5


def test_the_fixed_policy_needs_the_same_silence_always() -> None:
    settings = EndpointingSettings(hangover_policy="FIXED", hangover_ms=256)
    for speech_blocks in (5, 60):
        segmenter = Segmenter(Endpointing.from_settings(settings))
        for _ in range(speech_blocks):
            segmenter.push(0.99)
        told = [bool(segmenter.push(0.01)) for _ in range(8)]
        assert told == [False] * 7 + [True]


def test_evidence_is_the_speech_so_far_and_how_the_last_blocks_fell() -> None:
    evidence = weigh([0.2, 0.9, 0.7, 0.5], speech=28 * BLOCK_SAMPLES)
    assert evidence.length == pytest.approx(math.log(28 * 0.032))
    assert evidence.slope == pytest.approx(-0.4)


def test_a_voice_that_fades_is_waited_for_less_than_one_that_breaks_off() -> None:
    weights = Weights(bias=0.0, length=0.0, slope=-2.0)
    fades, breaks_off = Phrase(USUAL, weights), Phrase(USUAL, weights)
    for probability in (0.9, 0.8, 0.6, 0.5):
        fades.speak(probability)
        breaks_off.speak(0.9)
    assert fades.hangover(BLOCK_SAMPLES) < breaks_off.hangover(BLOCK_SAMPLES) == USUAL


def test_with_no_speech_heard_the_hangover_is_the_longest() -> None:
    phrase = Phrase(USUAL)
    assert phrase.hangover(speech=0) == phrase.longest
