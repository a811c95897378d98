"""Outputs that users taught: read strictly, good for one model, and nothing where there are none."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affectstream_server.scoring.scorer import ModelInfo, Score, checked_score
from affectstream_server.scoring.user_outputs import UserOutputs, read_user_outputs
from affectstream_server.section import SettingsError
from tests.support.user_output import content, write

MODEL = ModelInfo("m", "1", ("neutral", "happy"), (), "d" * 64, "fp32", 480_000, False, 4)
OTHER = replace(MODEL, name="other", digest="e" * 64)


def score(model: ModelInfo = MODEL, embedding: tuple[float, ...] = (1.0, -2.0, 0.5, 0.0)) -> Score:
    logits, dims = np.zeros(2, np.float32), np.zeros(0, np.float32)
    return checked_score(model, logits, dims, np.array(embedding, np.float32), compute_ms=1, queue_ms=0)


def test_an_answer_is_the_softmax_of_weights_times_embedding(tmp_path: Path) -> None:
    said = content(MODEL, weights=[[1, 0, 0, 0], [0, -1, 0, 0]], bias=[0, 0.5])
    outputs = read_user_outputs([write(tmp_path / "a.json", said)])
    (answer,) = outputs.add_to(score()).user_answers
    expected = np.exp([1.0, 2.5]) / np.exp([1.0, 2.5]).sum()
    assert (answer.name, answer.labels) == ("loudness", ("calm", "loud"))
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-6)


def test_another_models_score_is_left_alone(tmp_path: Path) -> None:
    outputs = read_user_outputs([write(tmp_path / "a.json", content(MODEL))])
    of_other = score(OTHER)
    assert outputs.add_to(of_other) is of_other
    assert [output.name for output in outputs.of([OTHER, MODEL])] == ["loudness"]
    assert outputs.of([OTHER]) == ()


def test_without_any_nothing_is_done() -> None:
    plain = score()
    assert not UserOutputs()
    assert UserOutputs().add_to(plain) is plain


def test_several_are_told_in_the_order_of_the_settings(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.json", content(MODEL, name)) for name in ("b", "a")]
    assert [a.name for a in read_user_outputs(paths).add_to(score()).user_answers] == ["b", "a"]


@pytest.mark.parametrize("model", [OTHER, replace(MODEL, embedding_size=5)])
def test_an_output_of_no_model_here_is_refused_with_both_digests(model: ModelInfo, tmp_path: Path) -> None:
    outputs = read_user_outputs([write(tmp_path / "a.json", content(MODEL))])
    with pytest.raises(SettingsError) as refused:
        outputs.check([model])
    for said in ("scoring.user_outputs", "loudness", "dddddddddddd", model.digest[:12], "probe"):
        assert said in str(refused.value)


def test_where_models_come_and_go_it_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outputs = read_user_outputs([write(tmp_path / "a.json", content(MODEL))])
    with caplog.at_level(logging.WARNING):
        for models in ([], [OTHER], [OTHER], [MODEL], [OTHER]):
            outputs.look(models)
    told = [record.message for record in caplog.records]
    assert len(told) == 2
    assert all("loudness" in line and "not served" in line for line in told)


def test_one_that_is_no_better_than_chance_is_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weak = {"uar": 0.55, "low": 0.4, "high": 0.7, "chance": 0.5}
    with caplog.at_level(logging.WARNING):
        assert read_user_outputs([write(tmp_path / "a.json", content(MODEL, cross_validation=weak))])
    assert "not surely better than chance" in caplog.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": "other"}, "not of `affectstream-models probe`"),
        ({"name": "Loud!"}, "name: expected"),
        ({"name": 3}, "name: expected"),
        ({"labels": ["one"]}, "labels: expected 2 to 32"),
        ({"labels": ["a", "a"]}, "labels: expected 2 to 32"),
        ({"labels": ["a", "x" * 65]}, "1 to 64 bytes"),
        ({"labels": ["a", 1]}, "1 to 64 bytes"),
        ({"weights": [[1, 2, 3, 4]]}, "for 2 labels"),
        ({"weights": [[1, 2], [3]]}, "a.json: "),
        ({"weights": [[float("nan")] * 4] * 2}, "not finite"),
        ({"bias": [0, 1, 2]}, "for 2 labels"),
        ({"cross_validation": {"uar": 1.5, "low": 0, "chance": 0}}, "got 1.5, expected 0 to 1"),
        ({"cross_validation": {}}, "lacks uar"),
        ({"clips": "many"}, "a.json: "),
        ({"clips": float("inf")}, "a.json: "),
        ({"model": {}}, "lacks"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        read_user_outputs([write(tmp_path / "a.json", content(MODEL, **changed))])
    assert str(refused.value).startswith(f"scoring.user_outputs: {tmp_path / 'a.json'}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff", "9" * 100, "[" * 10_000])
def test_what_is_no_such_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match=r"a\.json: not "):
        read_user_outputs([str(tmp_path / "a.json")])


def test_a_file_that_is_missing_too_large_or_twice_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_user_outputs([str(tmp_path / "no.json")])
    (tmp_path / "large.json").write_bytes(b" " * (8 * 1024 * 1024 + 1))
    with pytest.raises(SettingsError, match="at most 8388608"):
        read_user_outputs([str(tmp_path / "large.json")])
    path = write(tmp_path / "a.json", content(MODEL))
    with pytest.raises(SettingsError, match="is another file's already"):
        read_user_outputs([path, path])
