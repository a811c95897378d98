"""Real speech through the server's own stages, judged; needs recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.segment import Endpointing, Segmenter
from quality.clips import AUDIO_VARIABLE
from quality.generate import Generator
from quality.listen import Progress, listen, segment
from quality.measure import Score
from quality.peers import LIVEKIT, PIPECAT
from quality.segmentation import ADAPTIVE, FIXED, compare
from quality.talks import conversation

pytestmark = [
    pytest.mark.skipif(AUDIO_VARIABLE not in os.environ, reason=f"{AUDIO_VARIABLE} names no recordings"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("segmentation"),  # one process judges the talks once
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(os.environ[AUDIO_VARIABLE])


def quiet(_name: str) -> Progress:
    return lambda _done, _of: None


@pytest.fixture(scope="module")
def spoken(folder: Path) -> dict[str, Score]:
    return compare(conversation(folder), "16 kHz", quiet, "talks", (PIPECAT, LIVEKIT)).rows()


def test_every_utterance_of_the_conversations_is_found(spoken: dict[str, Score]) -> None:
    assert spoken[ADAPTIVE].found == spoken[ADAPTIVE].utterances == 84


def test_the_default_is_told_sooner_and_splits_and_merges_no_more_than_the_fixed_hangover(
    spoken: dict[str, Score],
) -> None:
    ours, fixed = spoken[ADAPTIVE], spoken[FIXED]
    assert ours.split + ours.merged <= fixed.split + fixed.merged
    assert ours.summary()["told_ms"] <= min(300, fixed.summary()["told_ms"])


def test_edges_are_exact_to_50_ms_in_the_median(spoken: dict[str, Score]) -> None:
    summary = spoken[ADAPTIVE].summary()
    assert abs(summary["start_ms"]) <= 50
    assert abs(summary["end_ms"]) <= 50


def test_hesitating_speakers_are_cut_less_than_by_pipecats_and_livekits_settings(folder: Path) -> None:
    generator = Generator(folder)
    talks = [talk for seed in (7, 8) for talk in generator.talks("hesitant", seed)]
    rows = compare(talks, "16 kHz", quiet, "hesitations", (PIPECAT, LIVEKIT)).rows()
    cuts = {name: row.summary()["cuts_per_utterance"] for name, row in rows.items()}
    assert cuts[ADAPTIVE] < min(cuts[PIPECAT.name], cuts[LIVEKIT.name])


def test_equal_seeds_give_equal_talks(folder: Path) -> None:
    one, other = (next(iter(Generator(folder).talks("long", seed=3, per_level=1))) for _ in range(2))
    assert one.utterances == other.utterances
    assert (one.audio == other.audio).all()


def test_segmenting_stored_answers_is_the_same_as_listening(folder: Path) -> None:
    talk = conversation(folder)[2]
    settings = EndpointingSettings()
    (listened,) = listen([talk], settings)
    again = segment(listened.probabilities, len(talk.audio), Segmenter(Endpointing.from_settings(settings)))
    assert again == listened.heard
