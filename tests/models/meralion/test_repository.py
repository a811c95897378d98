"""The rendered repository: what is checked in is what the contract and the card give."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import pytest

from affectstream import contract
from affectstream_models import repository
from affectstream_models.engine_graph import BATCHES
from affectstream_models.errors import ModelsError
from affectstream_models.meralion_card import NAME, card
from affectstream_models.repository import StaleError, render, stale, write

REPOSITORY = Path(__file__).resolve().parents[3] / "triton_repo"


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    repository.add_arguments(parser)
    return repository.run(parser.parse_args(words), lambda _: None)


def parse(text: str) -> dict[str, Any]:
    """A model configuration as nested dictionaries: repeated fields become lists."""
    words = iter(_words(text))
    return _message(words, end=None)


def _words(text: str) -> list[str]:
    lines = [line.split("#")[0] for line in text.splitlines()]
    spaced = "\n".join(lines)
    for mark in "[]{},:":
        spaced = spaced.replace(mark, f" {mark} ")
    return [word for word in spaced.split() if word not in {",", ":"}]


def _message(words: Any, end: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in words:
        if key == end:
            break
        found[key] = _value(words, next(words))
    return found


def _value(words: Any, word: str) -> Any:
    if word == "{":
        return _message(words, "}")
    if word == "[":
        items: list[Any] = []
        for item in words:
            if item == "]":
                return items
            items.append(_value(words, item))
    return word.strip('"')


CONFIGS = ["config.pbtxt", "configs/torch.pbtxt"]


def test_what_is_checked_in_is_what_is_rendered() -> None:
    assert stale(REPOSITORY / NAME) == {}
    assert run("--repository", str(REPOSITORY), "--check") == 0


def test_labels_are_the_contracts_in_its_order() -> None:
    assert render()["labels.txt"].splitlines() == list(contract.EMOTIONS)


@pytest.mark.parametrize("name", CONFIGS)
def test_both_targets_have_the_same_tensors(name: str) -> None:
    config = parse(render()[name])
    assert config["name"] == NAME
    assert config["max_batch_size"] == "32"
    assert [(tensor["name"], tensor["dims"]) for tensor in config["input"]] == [("AUDIO", ["480000"])]
    assert {tensor["name"]: (tensor["data_type"], tensor["dims"]) for tensor in config["output"]} == {
        "LOGITS": ("TYPE_FP32", ["7"]),
        "DIMS": ("TYPE_FP32", ["3"]),
        "EMBEDDING": ("TYPE_FP32", ["256"]),
        "FRAME_ATTENTION": ("TYPE_FP32", ["1500"]),
    }
    assert config["output"][0]["label_filename"] == "labels.txt"


@pytest.mark.parametrize("name", CONFIGS)
def test_both_targets_batch_and_set_no_time_out(name: str) -> None:
    text = render()[name]
    batching = parse(text)["dynamic_batching"]
    assert batching["preferred_batch_size"] == ["4", "8", "16", "32"]
    assert "timeout" not in text
    warm_up = parse(text)["model_warmup"][0]
    assert warm_up["batch_size"] == "1"
    assert warm_up["inputs"]["key"] == "AUDIO"


def test_the_engines_target_uses_every_profile() -> None:
    config = parse(render()["config.pbtxt"])
    assert config["platform"] == "tensorrt_plan"
    assert config["input"][0]["data_type"] == "TYPE_FP32", "TensorRT has no 16-bit integers"
    assert config["instance_group"][0]["profile"] == [str(index) for index in range(len(BATCHES))]
    assert [int(warm_up["batch_size"]) for warm_up in config["model_warmup"]] == list(BATCHES)


def test_the_torch_target_takes_the_contracts_type() -> None:
    config = parse(render()["configs/torch.pbtxt"])
    assert config["backend"] == "python"
    assert config["input"][0]["data_type"] == f"TYPE_{contract.AUDIO.dtype}"
    said = {item["key"]: item["value"]["string_value"] for item in config["parameters"]}
    assert said == {"checkpoint": card()["source"], "revision": card()["revision"]}


def test_the_card_is_toml_and_names_licence_limits_and_budgets() -> None:
    rendered = tomllib.loads(render()["card.toml"])
    assert rendered == card()
    assert "MERaLiON Public Licence" in rendered["weights_licence"]
    assert rendered["labels"] == list(contract.EMOTIONS)
    assert set(rendered["parity"]) == {"float32", "fp16", "bf16"}
    assert any("padding" in limit for limit in rendered["limits"])


def test_the_readme_names_licence_tensors_and_limits() -> None:
    text = render()["README.md"]
    for fact in (
        "MERaLiON Public Licence",
        "arXiv 2511.04914",
        "FRAME_ATTENTION",
        "full scale ±32,768",
        *card()["limits"],
    ):
        assert fact in text


def test_rendering_is_idempotent_and_mends_what_was_edited(tmp_path: Path) -> None:
    assert len(write(tmp_path)) == len(render())
    assert write(tmp_path) == []
    (tmp_path / "labels.txt").write_text("happy\n")
    assert write(tmp_path) == [tmp_path / "labels.txt"]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_the_check_names_what_is_stale(tmp_path: Path) -> None:
    assert run("--repository", str(tmp_path)) == 0
    (tmp_path / NAME / "configs" / "torch.pbtxt").write_text("edited")
    with pytest.raises(
        StaleError, match=r"not as rendered: .*torch\.pbtxt; run `affectstream-models render`"
    ):
        run("--repository", str(tmp_path), "--check")


def test_a_repository_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelsError, match=r"config\.pbtxt: cannot be written"):
        write(tmp_path / "file")
