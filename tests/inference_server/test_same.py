"""Behind Triton the model says what it says in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from affectstream.contract import BUCKETS_SAMPLES
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.embedded import EmbeddedScorer
from tests.inference_server.conftest import Bench
from tests.support.speech import sample_talk, talks
from tests.support.triton import one_final_each, scorer_of, serving
from tests.support.wire import running_server, stream_talk

TOLERANCE = 1e-5
LEAST_SPREAD = 0.05
"""A change in standard deviations is that much coarser: docs/baseline.md."""


def same(through: pb.AffectEvent, here: pb.AffectEvent) -> float:
    """The largest difference of two events' values; everything else must be equal but ids and times."""
    apart = [abs(a.probability - b.probability) for a, b in zip(through.emotions, here.emotions, strict=True)]
    apart.append(abs(through.dimensions.arousal - here.dimensions.arousal))
    apart.append(abs(through.change.arousal_step - here.change.arousal_step) / 2)
    apart.append(abs(through.change.arousal - here.change.arousal) * LEAST_SPREAD / 2)
    assert [field.name for field, _ in through.change.ListFields()] == [
        field.name for field, _ in here.change.ListFields()
    ]
    copies = []
    for event in (through, here):
        copy = pb.AffectEvent()
        copy.CopyFrom(event)
        for name in ("utterance_id", "continues_utterance_id", "turn_id", "timing", "emotions", "dimensions"):
            copy.ClearField(name)
        copy.ClearField("uncertainty")
        copy.ClearField("change")
        copies.append(copy)
    assert copies[0] == copies[1]
    return max(apart)


async def test_the_sample_talk_sounds_the_same(bench: Bench) -> None:
    async with serving(bench.triton.address) as server, running_server() as local:
        through = one_final_each(await stream_talk(server.address, sample_talk()))
        here = one_final_each(await stream_talk(local.address, sample_talk()))
    assert len(through) == len(here) > 5
    assert max(same(a, b) for a, b in zip(through, here, strict=True)) < TOLERANCE


async def test_every_conversation_gives_the_same_events(
    bench: Bench, speech: Path, figure: Callable[[str], None]
) -> None:
    worst, count = 0.0, 0
    async with serving(bench.triton.address) as server, running_server() as local:
        for talk in talks(speech):
            through = one_final_each(await stream_talk(server.address, talk.samples))
            here = one_final_each(await stream_talk(local.address, talk.samples))
            assert len(through) == len(here) > 0
            worst = max(worst, *(same(a, b) for a, b in zip(through, here, strict=True)))
            count += len(through)
    figure(f"{count} utterances of the talks: largest difference to in-process {worst:.1e}")
    assert worst < TOLERANCE


@pytest.mark.parametrize("length", [1_600, 15_999, 16_000, 16_001, 100_000, 479_999, 480_000])
async def test_padding_to_a_bucket_changes_nothing(bench: Bench, length: int) -> None:
    audio = np.resize(sample_talk(), length)
    here = EmbeddedScorer()
    async with serving(bench.triton.address) as server:
        expected = await here.score("u", audio, 10)
        found = await scorer_of(server).score("u", audio, 10)
    await here.close()
    for name in ("probabilities", "dimensions", "embedding"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=TOLERANCE)
    assert found.model == expected.model


def test_the_longest_utterance_fits_the_largest_bucket() -> None:
    assert BUCKETS_SAMPLES[-1] == EmbeddedScorer().model.max_samples
    assert list(BUCKETS_SAMPLES) == sorted(BUCKETS_SAMPLES)
