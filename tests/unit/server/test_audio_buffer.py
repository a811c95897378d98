"""The audio that is kept is the audio that was given, at its place, and no more than that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream_server.audio_buffer import AudioBuffer


@given(steps=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 3_000)), max_size=40))
def test_every_kept_sample_stays_at_its_position(steps: list[tuple[int, int]]) -> None:
    buffer, end = AudioBuffer(), 0
    for grow, drop in steps:
        buffer.append(np.arange(end, end + grow).astype(np.int16))
        end += grow
        buffer.drop_before(buffer.start + drop)
        assert buffer.end == end
        kept = buffer.view(buffer.start, buffer.end)
        np.testing.assert_array_equal(kept, np.arange(buffer.start, end).astype(np.int16))


def test_a_copy_stays_what_it_was() -> None:
    buffer = AudioBuffer()
    buffer.append(np.arange(10_000).astype(np.int16))
    taken = [buffer.copy(start, end) for start, end in ((0, 10_000), (4_000, 4_200), (5_000, 5_001), (7, 7))]
    buffer.drop_before(9_000)
    buffer.append(np.zeros(10_000, np.int16))
    np.testing.assert_array_equal(taken[0], np.arange(10_000))
    np.testing.assert_array_equal(taken[1], np.arange(4_000, 4_200))
    assert [list(taken[2]), len(taken[3])] == [[5_000], 0]


def test_what_is_dropped_cannot_be_read() -> None:
    buffer = AudioBuffer()
    buffer.append(np.ones(100, np.int16))
    buffer.drop_before(50)
    with pytest.raises(IndexError, match=r"\[49, 60\) is not within \[50, 100\)"):
        buffer.view(49, 60)


def test_an_hour_of_silence_takes_no_more_room_than_a_second() -> None:
    buffer = AudioBuffer()
    for _ in range(3_600):
        buffer.append(np.zeros(16_000, np.int16))
        buffer.drop_before(buffer.end - 2_000)
    assert buffer.allocated_bytes <= 2 * (2_000 + 2 * 4_096)


@pytest.mark.parametrize("seconds", [1, 5, 30])
def test_an_utterance_takes_little_more_room_than_its_samples(seconds: int) -> None:
    buffer = AudioBuffer()
    for _ in range(50 * seconds):
        buffer.append(np.zeros(320, np.int16))
    assert buffer.allocated_bytes <= seconds * 32_000 + 8_192


def test_room_of_a_long_utterance_is_given_back() -> None:
    buffer = AudioBuffer()
    for _ in range(30):
        buffer.append(np.zeros(16_000, np.int16))
    buffer.drop_before(buffer.end)
    for _ in range(1_000):
        buffer.append(np.zeros(320, np.int16))
        buffer.drop_before(buffer.end - 320)
    assert buffer.allocated_bytes <= 16_384


def test_nothing_is_allocated_before_audio_comes() -> None:
    assert AudioBuffer().allocated_bytes == 0
