"""What holds for every stream of probabilities, with either policy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.segment import Ended, Endpointing, Segmenter, Started, Trigger

BLOCKS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.02, 0.2, 0.34, 0.35, 0.5, 0.7, 0.99]),
        st.integers(1, 40),
    ),
    max_size=40,
)
RULES = st.builds(
    EndpointingSettings,
    hangover_policy=st.sampled_from(["ADAPTIVE", "FIXED"]),
    min_speech_ms=st.integers(0, 300),
    hangover_ms=st.integers(32, 1_000),
    pre_roll_ms=st.integers(0, 500),
    post_roll_ms=st.integers(0, 500),
    max_utterance_ms=st.integers(1_000, 6_000),
)


def segmented(settings: EndpointingSettings, blocks: list[tuple[float, int]]) -> list[Started | Ended]:
    segmenter = Segmenter(Endpointing.from_settings(settings))
    boundaries: list[Started | Ended] = []
    for probability, count in blocks:
        for _ in range(count):
            kept_from = segmenter.keep_from
            decided = segmenter.push(probability)
            assert all(boundary.audio_start >= kept_from for boundary in decided)
            assert segmenter.keep_from >= kept_from
            boundaries += decided
    if (last := segmenter.finish(segmenter.position, Trigger.END_OF_AUDIO)) is not None:
        boundaries.append(last)
    return boundaries


@given(RULES, BLOCKS)
def test_utterances_follow_each_other_without_overlap(
    settings: EndpointingSettings, blocks: list[tuple[float, int]]
) -> None:
    boundaries = segmented(settings, blocks)
    assert [type(boundary) for boundary in boundaries] == [Started, Ended] * (len(boundaries) // 2)
    reached = 0
    for started, ended in zip(boundaries[::2], boundaries[1::2], strict=True):
        assert isinstance(ended, Ended)
        assert reached <= started.audio_start == ended.audio_start < ended.audio_end
        reached = ended.audio_end


@given(RULES, BLOCKS)
def test_an_utterance_holds_no_audio_that_was_not_heard_and_no_more_speech_than_audio(
    settings: EndpointingSettings, blocks: list[tuple[float, int]]
) -> None:
    for ended in segmented(settings, blocks):
        if isinstance(ended, Ended):
            assert ended.speech_end <= ended.audio_end <= ended.decidable_at
            assert 0 <= ended.speech_samples <= ended.audio_end - ended.audio_start
            longest = settings.max_utterance_ms * 16 + BLOCK_SAMPLES
            assert ended.audio_end - ended.audio_start <= longest + settings.post_roll_ms * 16


@given(RULES, BLOCKS)
def test_an_endpoint_is_declared_after_a_silence_between_the_shortest_and_the_longest(
    settings: EndpointingSettings, blocks: list[tuple[float, int]]
) -> None:
    adaptive = settings.hangover_policy == "ADAPTIVE"
    shortest = settings.hangover_ms * 16 * (0.625 if adaptive else 1)
    longest = settings.hangover_ms * 16 * (3.5 if adaptive else 1)
    for ended in segmented(settings, blocks):
        if isinstance(ended, Ended) and ended.trigger is Trigger.SPEECH_ENDED:
            silence = ended.decidable_at - ended.speech_end
            post_roll = min(settings.post_roll_ms * 16, silence)
            assert ended.audio_end == ended.speech_end + post_roll
            assert shortest - 1 <= silence < longest + BLOCK_SAMPLES + 1
