"""What a loaded model says of itself, and which of it is refused."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream.contract import BUCKETS_SAMPLES, EMOTIONS
from affectstream_server.scoring.scorer import ModelFault
from affectstream_server.scoring.triton_layout import ContractMismatch, layout_of, model_of
from affectstream_server.scoring.triton_watch import attention_of

LABELS = ("neutral", "happy", "sad", "angry")


def output(name: str, size: int, dtype: str = "TYPE_FP32") -> dict[str, Any]:
    return {"name": name, "data_type": dtype, "dims": [str(size)]}


CONFIG: dict[str, Any] = {
    "name": "some_model",
    "max_batch_size": 32,
    "input": [
        {"name": "AUDIO", "data_type": "TYPE_INT16", "dims": ["-1"]},
        {"name": "NUM_SAMPLES", "data_type": "TYPE_INT32", "dims": ["1"]},
    ],
    "output": [output("LOGITS", 4), output("DIMS", 1), output("EMBEDDING", 64)],
    "parameters": {
        "affectstream.dimensions": {"string_value": "arousal"},
        "affectstream.version.2": {"string_value": "0.2.0"},
        "affectstream.sha256.2": {"string_value": "abc"},
        "affectstream.abstain_below": {"string_value": '{"happy": 0.5}'},
        "affectstream.min_snr_db": {"string_value": "6.5"},
        "affectstream.min_speech_ms": {"string_value": "800"},
        "affectstream.calibrated": {"string_value": "true"},
    },
}
ENGINE: dict[str, Any] = {
    "name": "meralion_ser",
    "max_batch_size": 32,
    "input": [{"name": "AUDIO", "data_type": "TYPE_FP32", "dims": ["480000"]}],
    "output": [
        output("LOGITS", 7),
        output("DIMS", 3),
        output("EMBEDDING", 256),
        output("FRAME_ATTENTION", 1500),
    ],
}


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(CONFIG) | values


def test_a_model_of_any_length_gets_buckets_and_a_count() -> None:
    audio = np.arange(1, 16_002, dtype=np.int16)
    (name, dtype, padded), (count_name, count_dtype, count) = layout_of(CONFIG).tensors(audio)
    assert (name, dtype, padded.dtype.name, padded.shape) == ("AUDIO", "INT16", "int16", (1, 32_000))
    np.testing.assert_array_equal(padded[0, :16_001], audio)
    assert not padded[0, 16_001:].any()
    assert (count_name, count_dtype, count.dtype.name, count.tolist()) == (
        "NUM_SAMPLES",
        "INT32",
        "int32",
        [[16_001]],
    )
    longest = np.ones(BUCKETS_SAMPLES[-1], np.int16)
    assert layout_of(CONFIG).tensors(longest)[0][2].shape == (1, BUCKETS_SAMPLES[-1])


def test_a_model_of_one_length_gets_that_in_its_own_type() -> None:
    (tensor,) = layout_of(ENGINE).tensors(np.full(16_000, -32_768, np.int16))
    assert (tensor[0], tensor[1], tensor[2].dtype.name) == ("AUDIO", "FP32", "float32")
    assert tensor[2].shape == (1, 480_000)
    assert (tensor[2].min(), tensor[2].max()) == (-32_768, 0)


def test_the_parameters_of_a_version_are_of_that_version_alone() -> None:
    second, third = model_of(CONFIG, "2", LABELS), model_of(CONFIG, "3", LABELS)
    assert (second.name, second.version, second.digest) == ("some_model", "0.2.0", "abc")
    assert (third.version, third.digest) == ("3", "")
    assert second.abstain_below == {"happy": 0.5}
    assert (second.min_snr_db, second.min_speech_ms) == (6.5, 800)
    assert second.calibrated
    assert (second.dimensions, second.embedding_size) == (("arousal",), 64)
    assert second.max_samples == BUCKETS_SAMPLES[-1]


def test_an_engine_needs_no_parameters() -> None:
    model = model_of(ENGINE, "1", EMOTIONS)
    assert model.dimensions == ("valence", "arousal", "dominance")
    assert (model.max_samples, model.calibrated, model.embedding_size) == (480_000, False, 256)
    assert (model.min_snr_db, model.min_speech_ms) == (None, 0)


def test_where_the_model_looked_is_asked_for_only_where_it_is_wanted_and_known() -> None:
    scores = ("LOGITS", "DIMS", "EMBEDDING")
    assert layout_of(ENGINE).outputs(attention=True) == (*scores, "FRAME_ATTENTION")
    assert layout_of(ENGINE).outputs(attention=False) == scores
    assert layout_of(CONFIG).outputs(attention=True) == scores
    any_length = changed(output=[*CONFIG["output"], output("FRAME_ATTENTION", -1)])
    assert layout_of(any_length).has_attention


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"dims": ["1499"]}, "FRAME_ATTENTION is TYPE_FP32 [1499], expected FP32 [1500]"),
        ({"data_type": "TYPE_FP16"}, "FRAME_ATTENTION is TYPE_FP16 [1500], expected FP32 [1500]"),
        ({"dims": ["1500", "1"]}, "FRAME_ATTENTION has shape [1500, 1], expected one axis"),
    ],
)
def test_attention_that_is_not_one_value_each_20_ms_is_refused(found: dict[str, Any], expected: str) -> None:
    *others, attention = ENGINE["output"]
    with pytest.raises(ContractMismatch, match=re.escape(expected)):
        layout_of(ENGINE | {"output": [*others, attention | found]})


@pytest.mark.parametrize("length", [1, 320, 321, 16_000])
def test_attention_on_the_padding_is_cut_off(length: int) -> None:
    whole = np.arange(1_500, dtype=np.float32)
    model, layout = model_of(ENGINE, "1", EMOTIONS), layout_of(ENGINE)
    kept = attention_of(model, layout, {"FRAME_ATTENTION": whole[np.newaxis]}, length)
    assert kept is not None
    np.testing.assert_array_equal(kept, np.arange(-(-length // 320)))
    assert attention_of(model, layout, {}, length) is None, "it was not asked for"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "is nothing"),
        (np.ones((1, 1_500), np.float64), "is float64"),
        (np.ones((1, 1_499), np.float32), r"has shape \[1499\], expected \[1500\]"),
        (np.full((1, 1_500), np.nan, np.float32), "not finite"),
        (np.full((1, 1_500), -0.1, np.float32), "below 0"),
    ],
)
def test_attention_that_cannot_be_right_is_a_fault_of_the_model(
    answer: NDArray[Any] | None, why: str
) -> None:
    with pytest.raises(ModelFault, match=f"FRAME_ATTENTION .*{why}"):
        attention_of(model_of(ENGINE, "1", EMOTIONS), layout_of(ENGINE), {"FRAME_ATTENTION": answer}, 16_000)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (changed(input=[]), "no tensor AUDIO"),
        (changed(input=[CONFIG["input"][0]]), "no tensor NUM_SAMPLES"),
        (changed(input=[{**CONFIG["input"][0], "data_type": "TYPE_FP16"}]), "AUDIO is TYPE_FP16"),
        (changed(input=[*CONFIG["input"], output("SPEAKER", 1)]), "SPEAKER, which nobody has"),
        (changed(max_batch_size=0), "max_batch_size is 0"),
        (changed(output=[output("LOGITS", 4), output("DIMS", 1)]), "no tensor EMBEDDING"),
        (changed(output=[output("LOGITS", -1), output("DIMS", 1), output("EMBEDDING", 2)]), "of known size"),
        (
            changed(output=[output("LOGITS", 5), output("DIMS", 1), output("EMBEDDING", 2)]),
            "5 values for 4 labels",
        ),
        (
            changed(output=[output("LOGITS", 4), output("DIMS", 2), output("EMBEDDING", 2)]),
            "2 values for 1 dim",
        ),
        (changed(parameters={"affectstream.dimensions": {"string_value": "mood"}}), "dimensions are mood"),
        (changed(parameters={"affectstream.labels": {"string_value": "happy"}}), "the parameters happy"),
        (
            changed(
                parameters={
                    "affectstream.dimensions": {"string_value": "arousal"},
                    "affectstream.abstain_below": {"string_value": "["},
                }
            ),
            "cannot be read",
        ),
    ],
)
def test_what_breaks_the_contract_is_refused_by_name(config: dict[str, Any], why: str) -> None:
    def inspect() -> None:
        layout_of(config)
        model_of(config, "1", LABELS)

    with pytest.raises(ContractMismatch, match=why):
        inspect()


@pytest.mark.parametrize(
    "labels", [("", "", "", ""), ("happy", "neutral", "sad", "angry"), ("a", "b", "c", "d")]
)
def test_labels_out_of_order_or_unknown_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ContractMismatch, match="in order"):
        model_of(CONFIG, "1", labels)
