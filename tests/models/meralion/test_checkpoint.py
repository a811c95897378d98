"""Loading: the published list to the letter, and one clear line for everything that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from affectstream.contract import EMOTIONS
from affectstream_models import meralion_checkpoint
from affectstream_models.errors import ModelsError
from affectstream_models.frontend import LogMel
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_config import PUBLISHED_PARAMETERS, PUBLISHED_TENSORS
from affectstream_models.meralion_hub import CheckpointError
from tests.models.meralion.helpers import (
    CONFIG_JSON,
    PREPROCESSOR_JSON,
    SMALL,
    lively,
    save_checkpoint,
    with_decoder,
)

Tensors = dict[str, torch.Tensor]
SCALE = "downstream_model.pooling.multiscale.resolution_convs.3.weight"


@pytest.fixture
def tensors() -> Tensors:
    return with_decoder(lively(SMALL))


def refusal(path: Path) -> str:
    """The one line that loading fails with."""
    with pytest.raises(CheckpointError) as caught:
        MeralionSer.from_checkpoint(path, config=SMALL)
    message = str(caught.value)
    assert isinstance(caught.value, ModelsError)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_names_and_shapes_are_the_published_ones() -> None:
    rows = Path(__file__).with_name("tensors.tsv").read_text().splitlines()
    published = dict(row.split("\t") for row in rows)
    with torch.device("meta"):
        model = MeralionSer()
    ours = {name: "x".join(map(str, tensor.shape)) for name, tensor in model.state_dict().items()}
    assert ours == published
    assert len(ours) == PUBLISHED_TENSORS == 479
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED_PARAMETERS == 313_362_581


def test_a_checkpoint_with_decoder_loads_to_the_same_network(tmp_path: Path, tensors: Tensors) -> None:
    audio = torch.randn(2, SMALL.window_samples) * 0.1
    loaded = MeralionSer.from_checkpoint(save_checkpoint(tmp_path, tensors), config=SMALL)
    with torch.inference_mode():
        for ours, theirs in zip(loaded(audio), lively(SMALL)(audio), strict=True):
            assert torch.equal(ours, theirs)
    assert not loaded.training
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in loaded.parameters())


def test_a_file_with_its_config_beside_it_loads_too(tmp_path: Path, tensors: Tensors) -> None:
    folder = save_checkpoint(tmp_path, tensors, preprocessor=None)
    MeralionSer.from_checkpoint(folder / "model.safetensors", config=SMALL)


def test_one_missing_key_fails_by_name(tmp_path: Path, tensors: Tensors) -> None:
    del tensors[SCALE]
    message = refusal(save_checkpoint(tmp_path, tensors))
    assert f"1 of {len(lively(SMALL).state_dict())} tensors missing, first {SCALE}" in message


def test_an_extra_key_fails_by_name(tmp_path: Path, tensors: Tensors) -> None:
    tensors["downstream_model.adapter.weight"] = torch.zeros(1)
    assert "first downstream_model.adapter.weight" in refusal(save_checkpoint(tmp_path, tensors))


def test_another_shape_fails_by_name_and_size(tmp_path: Path, tensors: Tensors) -> None:
    tensors[SCALE] = torch.zeros(64, 8, 15)
    assert f"tensor {SCALE} is 64×8×15, expected 64×8×16" in refusal(save_checkpoint(tmp_path, tensors))


def test_float16_weights_fail_by_name(tmp_path: Path, tensors: Tensors) -> None:
    tensors["dim_layer.0.weight"] = tensors["dim_layer.0.weight"].half()
    assert "tensor dim_layer.0.weight is F16, expected F32" in refusal(save_checkpoint(tmp_path, tensors))


def test_not_a_number_fails_by_name(tmp_path: Path, tensors: Tensors) -> None:
    tensors["dim_layer.0.bias"] = torch.full_like(tensors["dim_layer.0.bias"], torch.nan)
    assert "tensor dim_layer.0.bias holds NaN or infinity" in refusal(save_checkpoint(tmp_path, tensors))


@pytest.mark.parametrize("keep_bytes", [0, 5, 1_000, -1])
def test_a_truncated_file_is_said_to_be_one(tmp_path: Path, tensors: Tensors, keep_bytes: int) -> None:
    folder = save_checkpoint(tmp_path, tensors)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep_bytes])
    message = refusal(folder)
    assert f"not a whole safetensors file ({file.stat().st_size:,} bytes" in message
    assert "download it again" in message


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_fails_by_name(tmp_path: Path, tensors: Tensors, name: str) -> None:
    folder = save_checkpoint(tmp_path, tensors)
    (folder / name).unlink()
    assert f"{folder / name}: missing" in refusal(folder)


def test_a_path_that_is_not_there_says_what_could_be(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"id2label": {"0": "happy", "1": "neutral"}}, "id2label is {0: happy, 1: neutral}, expected"),
        (
            {"id2label": {str(i): label for i, label in enumerate(reversed(EMOTIONS))}},
            "expected the order neutral, happy, sad, angry, fearful, disgusted, surprised",
        ),
        ({"id2label": None}, "id2label is None, expected the labels neutral"),
        ({"num_emotions": 4}, "num_emotions is 4, expected 7"),
    ],
)
def test_another_config_fails_by_field(
    tmp_path: Path, tensors: Tensors, config: Mapping[str, object], says: str
) -> None:
    assert says in refusal(save_checkpoint(tmp_path, tensors, config={**CONFIG_JSON, **config}))


def test_labels_may_be_capitalised(tmp_path: Path, tensors: Tensors) -> None:
    labels = {str(index): label.title() for index, label in enumerate(EMOTIONS)}
    folder = save_checkpoint(tmp_path, tensors, config={**CONFIG_JSON, "id2label": labels})
    MeralionSer.from_checkpoint(folder, config=SMALL)


@pytest.mark.parametrize("field", ["n_fft", "hop_length", "feature_size", "sampling_rate"])
def test_another_preprocessor_fails_by_field(tmp_path: Path, tensors: Tensors, field: str) -> None:
    folder = save_checkpoint(tmp_path, tensors, preprocessor={**PREPROCESSOR_JSON, field: 512})
    assert f"{field} is 512, expected {PREPROCESSOR_JSON[field]}" in refusal(folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_json_is_said_to_be_broken(tmp_path: Path, tensors: Tensors, text: str) -> None:
    folder = save_checkpoint(tmp_path, tensors)
    (folder / "config.json").write_text(text)
    assert "download it again" in refusal(folder)


def test_a_front_end_in_reduced_precision_is_refused(
    tmp_path: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TF32 keeps ten bits of mantissa: rounding the basis so is what its products would see."""

    class Reduced(LogMel):
        def __init__(self, bands: int) -> None:
            super().__init__(bands)
            self.basis.copy_((self.basis * 2**10).round() / 2**10)

    monkeypatch.setattr(meralion_checkpoint, "LogMel", Reduced)
    with pytest.raises(CheckpointError, match=r"log-mel front end: differs from torch\.stft by"):
        MeralionSer.from_checkpoint(save_checkpoint(tmp_path, tensors), config=SMALL)


def test_nothing_of_the_checkpoint_is_executed(tmp_path: Path, tensors: Tensors) -> None:
    folder = save_checkpoint(
        tmp_path, tensors, config={**CONFIG_JSON, "auto_map": {"AutoModel": "modeling.X"}}
    )
    (folder / "modeling.py").write_text("raise SystemExit('remote code ran')")
    MeralionSer.from_checkpoint(folder, config=SMALL)


def test_a_pickle_in_disguise_is_not_read(tmp_path: Path, tensors: Tensors) -> None:
    folder = save_checkpoint(tmp_path, tensors)
    torch.save(tensors, folder / "model.safetensors")
    assert "not a whole safetensors file" in refusal(folder)


def test_a_file_of_another_model_names_the_first_tensor(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG_JSON))
    assert "first whisper.encoder.conv1.weight" in refusal(tmp_path)
