"""The measurement of words: its sentences, its pairs, and its figures by hand."""

from __future__ import annotations

import numpy as np
import pytest

from affectstream_server.stages.fuse import LexiconFusion
from quality.fusion import gain, read_texts, understood
from quality.unheard import LABELS


def test_every_emotion_has_as_many_sentences_and_none_is_in_both_parts() -> None:
    dev, test = read_texts("dev"), read_texts("test")
    assert {len(sentences) for sentences in dev.values()} == {12}
    assert {len(sentences) for sentences in test.values()} == {20}
    parts = [{text.lower() for sentences in part.values() for text in sentences} for part in (dev, test)]
    assert [len(part) for part in parts] == [48, 80]
    assert not parts[0] & parts[1]


def test_gain_of_a_voice_that_takes_joy_for_anger() -> None:
    sure = {label: np.eye(4, dtype=np.float32)[[place]] * 0.97 + 0.0075 for place, label in enumerate(LABELS)}
    voices = sure | {"happy": np.array([[0.02, 0.46, 0.02, 0.50]], np.float32)}
    texts = {label: [label, "nothing"] for label in LABELS}
    fusion = LexiconFusion(lambda text: {"happy": 0.9, "sad": -0.9, "angry": -0.9}.get(text, 0.0))
    found = gain(voices, texts, fusion)
    assert found.voice.value == pytest.approx(0.75)
    assert found.recalls["happy"] == (0.0, 0.5), "one of the two sentences says something"
    assert found.difference.value == pytest.approx(0.125)
    assert found.difference.low <= 0.125 <= found.difference.high
    assert found.log_loss[1] < found.log_loss[0]
    assert gain(voices, texts, LexiconFusion(fusion.valence, 0.0)).difference.value == 0


def test_what_the_lexicon_understands_is_counted() -> None:
    texts = {"happy": ["good", "none"], "sad": ["bad", "bad"]}
    fusion = LexiconFusion(lambda text: {"good": 0.5, "bad": -0.5}.get(text, 0.0))
    assert understood(texts, fusion) == {"happy": (0.5, 0.0), "sad": (0.0, 1.0)}
