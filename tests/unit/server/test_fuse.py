"""The log-opinion pool of voice and words: by certainty, silent where the words say nothing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream.contract import EMOTIONS
from affectstream_server.section import SettingsError
from affectstream_server.settings_fusion import FusionSettings
from affectstream_server.stages.fuse import (
    MOST_CHARACTERS,
    LexiconFusion,
    certainty,
    of_valence,
    open_fusion,
    pool,
)

LABELS = ("neutral", "happy", "sad", "angry")


def distribution(*shares: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(shares, np.float32)


def test_a_pool_by_hand() -> None:
    voice, words = distribution(0.5, 0.25, 0.125, 0.125), distribution(0.125, 0.625, 0.125, 0.125)
    both = pool(voice, words, 0.5)
    product = np.sqrt(voice * words)
    np.testing.assert_allclose(both, product / product.sum(), rtol=1e-5)
    np.testing.assert_allclose(pool(voice, words, 0.0), voice, rtol=1e-5)
    np.testing.assert_allclose(pool(voice, words, 1.0), words, rtol=1e-5)


@pytest.mark.parametrize(
    ("valence", "expected"),
    [
        (0.0, (0.25, 0.25, 0.25, 0.25)),
        (1.0, (0.0, 1.0, 0.0, 0.0)),
        (-1.0, (0.0, 0.0, 0.5, 0.5)),
        (0.5, (0.125, 0.625, 0.125, 0.125)),
        (-0.5, (0.125, 0.125, 0.375, 0.375)),
    ],
)
def test_valence_goes_to_the_labels_of_its_side(valence: float, expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(of_valence(valence, LABELS), expected, atol=1e-6)


def test_labels_without_a_side_are_told_nothing() -> None:
    np.testing.assert_allclose(of_valence(0.9, ("neutral", "angry")), (0.5, 0.5))
    assert certainty(of_valence(-1.0, EMOTIONS)) < certainty(of_valence(1.0, EMOTIONS))


def test_certainty_is_0_where_all_are_alike_and_1_where_one_is_all() -> None:
    assert certainty(distribution(0.25, 0.25, 0.25, 0.25)) == pytest.approx(0, abs=1e-6)
    assert certainty(distribution(0, 1, 0, 0)) == pytest.approx(1)


def test_words_resolve_what_the_voice_cannot() -> None:
    """Joy and anger sound alike; their words do not."""
    voice = distribution(0.04, 0.44, 0.04, 0.48)
    fusion = LexiconFusion(lambda text: {"lovely": 0.8, "awful": -0.8}[text])
    glad, cross = fusion.fuse("lovely", voice, LABELS), fusion.fuse("awful", voice, LABELS)
    assert glad is not None
    assert cross is not None
    assert LABELS[int(glad.probabilities.argmax())] == "happy"
    assert LABELS[int(cross.probabilities.argmax())] == "angry"
    assert 0 < cross.text_weight < glad.text_weight < 1


def test_the_surer_the_voice_the_less_words_weigh() -> None:
    fusion = LexiconFusion(lambda _: 0.6)
    sure = fusion.fuse("", distribution(0.97, 0.01, 0.01, 0.01), LABELS)
    unsure = fusion.fuse("", distribution(0.4, 0.2, 0.2, 0.2), LABELS)
    assert sure is not None
    assert unsure is not None
    assert sure.text_weight < unsure.text_weight


def test_words_that_say_nothing_change_nothing() -> None:
    assert LexiconFusion(lambda _: 0.0).fuse("the keys are here", distribution(1, 0, 0, 0), LABELS) is None


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda shares: sum(shares) > 0.01),
    st.floats(-1, 1),
    st.floats(0, 8),
)
def test_whatever_comes_a_distribution_goes(shares: list[float], valence: float, strength: float) -> None:
    voice = np.array(shares, np.float32) / np.float32(sum(shares))
    fused = LexiconFusion(lambda _: valence, strength).fuse("x", voice, LABELS)
    if fused is not None:
        assert np.isfinite(fused.probabilities).all()
        assert fused.probabilities.sum() == pytest.approx(1, abs=1e-4)
        assert 0 < fused.text_weight <= 1


class TestLexicon:
    @pytest.mark.parametrize(
        ("text", "sign"),
        [
            ("this is wonderful, thank you", 1),
            ("this is not wonderful at all", -1),
            ("I am furious", -1),
            ("the keys are on the table", 0),
            ("", 0),
        ],
    )
    def test_it_knows_english(self, text: str, sign: int) -> None:
        fusion = open_fusion(FusionSettings(text="lexicon"))
        assert isinstance(fusion, LexiconFusion)
        assert np.sign(fusion.valence(text)) == sign

    @given(st.text(max_size=200))
    def test_it_takes_any_text(self, text: str) -> None:
        assert -1 <= _VALENCE(text) <= 1

    def test_of_a_long_text_the_beginning_counts(self) -> None:
        """Its cost grows with the square of the length, and an utterance has 30 s at most."""
        said = "this is wonderful, thank you. " + "the keys are on the table " * 18
        assert len(said) < MOST_CHARACTERS
        assert _VALENCE(said + "nothing is horrible") == _VALENCE(said) > 0
        assert -1 <= _VALENCE("x" * 4_096) <= 1

    def test_off_is_none_and_loads_nothing(self) -> None:
        assert open_fusion(FusionSettings()) is None

    def test_a_missing_library_is_named_with_its_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
        with pytest.raises(SettingsError, match=r"fusion\.text: .*pip install 'affectstream\[fusion\]'"):
            open_fusion(FusionSettings(text="lexicon"))


_FUSION = open_fusion(FusionSettings(text="lexicon"))
assert isinstance(_FUSION, LexiconFusion)
_VALENCE = _FUSION.valence
