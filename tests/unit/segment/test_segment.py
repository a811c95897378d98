"""The segmenter's rules, one by one, with blocks of 32 ms given by hand."""

from __future__ import annotations

from collections.abc import Iterable

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.segment import Boundary, Ended, Endpointing, Segmenter, Started, Trigger


def fixed(**changes: int) -> Segmenter:
    settings = EndpointingSettings(hangover_policy="FIXED", **changes)
    return Segmenter(Endpointing.from_settings(settings))


def push(segmenter: Segmenter, probabilities: Iterable[float]) -> list[Boundary]:
    return [boundary for probability in probabilities for boundary in segmenter.push(probability)]


def test_an_utterance_starts_after_min_speech_and_ends_after_the_hangover() -> None:
    segmenter = fixed(min_speech_ms=96, hangover_ms=256, pre_roll_ms=64, post_roll_ms=32)
    assert push(segmenter, [0.0] * 10 + [0.9] * 2) == []
    assert push(segmenter, [0.9]) == [Started(8 * BLOCK_SAMPLES, 10 * BLOCK_SAMPLES, continues=False)]
    assert push(segmenter, [0.9] * 17 + [0.0] * 7) == []
    (ended,) = push(segmenter, [0.0])
    assert ended == Ended(
        audio_start=8 * BLOCK_SAMPLES,
        audio_end=31 * BLOCK_SAMPLES,
        speech_end=30 * BLOCK_SAMPLES,
        speech_samples=20 * BLOCK_SAMPLES,
        decidable_at=38 * BLOCK_SAMPLES,
        trigger=Trigger.SPEECH_ENDED,
    )


def test_a_block_between_the_thresholds_keeps_an_utterance_open_and_does_not_start_one() -> None:
    segmenter = fixed()
    assert push(segmenter, [0.4] * 50) == []
    assert len(push(segmenter, [0.9] * 5 + [0.4] * 50)) == 1
    assert segmenter.is_open


def test_speech_too_short_is_forgotten_after_a_silence() -> None:
    segmenter = fixed(min_speech_ms=96, hangover_ms=256)
    assert push(segmenter, [0.9] * 2 + [0.0] * 8 + [0.9] * 2 + [0.0] * 20) == []
    assert not segmenter.is_open


def test_pre_roll_never_reaches_into_the_utterance_before() -> None:
    segmenter = fixed(hangover_ms=64, pre_roll_ms=1_000, post_roll_ms=1_000)
    boundaries = push(segmenter, [0.9] * 20 + [0.0] * 2 + [0.9] * 20)
    _, ended, started = boundaries
    assert isinstance(ended, Ended)
    assert isinstance(started, Started)
    assert ended.audio_end == started.audio_start == 22 * BLOCK_SAMPLES


def test_the_maximum_length_cuts_at_the_least_speech_like_block_of_the_last_two_seconds() -> None:
    segmenter = fixed(max_utterance_ms=5_000, pre_roll_ms=0)
    speech = [0.9] * 200
    speech[20] = 0.5
    speech[130] = 0.6
    started, ended, goes_on = push(segmenter, speech)[:3]
    assert isinstance(started, Started)
    assert isinstance(ended, Ended)
    assert isinstance(goes_on, Started)
    assert ended.trigger is Trigger.MAX_DURATION
    assert ended.audio_end == goes_on.audio_start == 130 * BLOCK_SAMPLES
    assert goes_on.continues


def test_what_goes_on_after_a_cut_has_samples_though_only_silence_follows() -> None:
    segmenter = fixed(max_utterance_ms=1_000, min_speech_ms=0, pre_roll_ms=0, post_roll_ms=0, hangover_ms=900)
    _, cut, goes_on, ended = push(segmenter, [0.9] * 16 + [0.0] * 60)
    assert isinstance(cut, Ended)
    assert isinstance(goes_on, Started)
    assert isinstance(ended, Ended)
    assert cut.trigger is Trigger.MAX_DURATION
    assert goes_on.audio_start == ended.audio_start == cut.audio_end
    assert ended.audio_end == ended.audio_start + BLOCK_SAMPLES
    assert ended.speech_samples == 0


def test_a_cut_counts_speech_on_its_own_side() -> None:
    segmenter = fixed(max_utterance_ms=1_000, min_speech_ms=0, pre_roll_ms=0, hangover_ms=256)
    _, ended, _ = push(segmenter, [0.9] * 4 + [0.2] * 7 + [0.9] * 20)
    assert isinstance(ended, Ended)
    assert ended.audio_end == 10 * BLOCK_SAMPLES
    assert ended.speech_end == ended.speech_samples == 4 * BLOCK_SAMPLES
    (after,) = push(segmenter, [0.0] * 8)
    assert isinstance(after, Ended)
    assert after.speech_samples == 20 * BLOCK_SAMPLES


def test_without_more_audio_the_open_utterance_ends_where_the_audio_does() -> None:
    segmenter = fixed(post_roll_ms=64)
    push(segmenter, [0.9] * 20)
    ended = segmenter.finish(20 * BLOCK_SAMPLES, Trigger.END_OF_AUDIO)
    assert ended is not None
    assert ended.audio_end == 20 * BLOCK_SAMPLES
    assert segmenter.finish(20 * BLOCK_SAMPLES, Trigger.END_OF_AUDIO) is None


def test_nothing_is_returned_for_most_blocks_and_it_is_the_same_empty_tuple() -> None:
    segmenter = fixed()
    assert segmenter.push(0.0) is segmenter.push(0.0)
