"""The model that ships keeps the contract, whatever is thrown at it."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from affectstream.contract import (
    AUDIO,
    DIMS,
    EMBEDDING,
    EMOTIONS,
    LIMITS,
    LOGITS,
    METADATA_KEYS,
    METADATA_PREFIX,
    NUM_SAMPLES,
    SAMPLE_RATE_HZ,
)
from affectstream_models.card import CARD_FILE, MODEL_FILE, read_card
from tests.models.embedded.helpers import SHIPPED, Model, Waveform, voice

ONNX_TYPES = {"INT16": "tensor(int16)", "INT32": "tensor(int32)", "FP32": "tensor(float)"}


def assert_same(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_tensors_are_those_of_the_contract(shipped: Model) -> None:
    found = {item.name: item.type for item in (*shipped.session.get_inputs(), *shipped.session.get_outputs())}
    wanted = (AUDIO, NUM_SAMPLES, LOGITS, DIMS, EMBEDDING)
    assert found == {tensor.name: ONNX_TYPES[tensor.dtype] for tensor in wanted}


def test_metadata_says_what_the_contract_asks(shipped: Model) -> None:
    said = shipped.session.get_modelmeta().custom_metadata_map
    assert set(said) == {METADATA_PREFIX + key for key in METADATA_KEYS}
    value = {key: said[METADATA_PREFIX + key] for key in METADATA_KEYS}
    assert value["name"] == "affect-embedded"
    assert value["labels"].split(",") == list(EMOTIONS[:4])
    assert value["dimensions"] == "arousal"
    assert value["sample_rate_hz"] == str(SAMPLE_RATE_HZ)
    assert int(value["max_samples"]) == LIMITS.utterance_ms * SAMPLE_RATE_HZ // 1000
    assert value["calibrated"] == "true"


def test_the_file_does_not_tell_where_it_was_made() -> None:
    held = (SHIPPED / MODEL_FILE).read_bytes()
    assert not [mark for mark in (b"stack_trace", b"/affectstream_models/", b"site-packages") if mark in held]


def test_card_is_the_one_that_the_model_names(shipped: Model) -> None:
    said = shipped.session.get_modelmeta().custom_metadata_map
    card = read_card(SHIPPED)
    text = (SHIPPED / CARD_FILE).read_bytes()
    assert said[METADATA_PREFIX + "card_sha256"] == hashlib.sha256(text).hexdigest()
    assert said[METADATA_PREFIX + "labels"] == ",".join(card.labels)
    assert card.to_toml().encode() == text
    assert set(card.abstention.min_probability) == set(card.labels)
    assert "Berlin Database" in card.data[0]
    assert card.not_for


def test_weights_are_those_of_the_card_and_small() -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra `models`")
    pytest.importorskip("torch", reason="needs the extra `models`")
    from affectstream_models.modelfile import weights_sha256

    model = onnx.load(SHIPPED / MODEL_FILE)
    assert weights_sha256(model) == read_card(SHIPPED).weights_sha256
    trained = [tensor for tensor in model.graph.initializer if tensor.name.startswith("heads.")]
    assert 0 < sum(tensor.ByteSize() for tensor in trained) < 500_000


def test_file_is_small() -> None:
    assert (SHIPPED / MODEL_FILE).stat().st_size < 4_000_000


def test_shapes_follow_batch_and_labels(shipped: Model, voices: list[Waveform]) -> None:
    logits, dims, embedding = shipped.hear(voices)
    assert logits.shape == (5, 4)
    assert dims.shape == (5, 1)
    assert embedding.shape[0] == 5
    assert embedding.shape[1] > 0
    assert np.all((dims >= 0) & (dims <= 1))


def test_padding_changes_nothing(shipped: Model, voices: list[Waveform]) -> None:
    for wave in voices:
        for plain, padded in zip(shipped.hear([wave]), shipped.hear([wave], len(wave) + 23_457), strict=True):
            assert_same(padded, plain)


def test_what_stands_in_the_padding_is_not_heard(shipped: Model) -> None:
    wave = voice(3, 1.5)
    dirty = np.concatenate([wave, voice(4, 1.0, pitch_hz=300)])[None]
    count = np.array([[len(wave)]], dtype=np.int32)
    logits = shipped.session.run([LOGITS.name], {AUDIO.name: dirty, NUM_SAMPLES.name: count})[0]
    assert_same(logits, shipped.hear([wave])[0])


def test_a_batch_gives_what_each_gives_alone(shipped: Model, voices: list[Waveform]) -> None:
    together = shipped.hear(voices)
    for index, wave in enumerate(voices):
        for alone, batched in zip(shipped.hear([wave]), together, strict=True):
            assert_same(batched[index], alone[0])


@pytest.mark.parametrize("samples", [1_600, 48_000, 480_000])
@pytest.mark.parametrize("kind", ["silence", "one step", "clipped", "full scale", "noise"])
def test_outputs_are_finite(shipped: Model, kind: str, samples: int) -> None:
    rng = np.random.default_rng(0)
    wave = {
        "silence": np.zeros(samples),
        "one step": np.ones(samples),
        "clipped": np.clip(rng.normal(0, 1e6, samples), -32768, 32767),
        "full scale": np.full(samples, -32768),
        "noise": rng.normal(0, 3000, samples),
    }[kind].astype(np.int16)
    for output in shipped.hear([wave]):
        assert np.all(np.isfinite(output))


def test_a_count_beyond_the_audio_or_too_small_is_survived(shipped: Model) -> None:
    wave = voice(1, 0.5)
    for count in (0, 1, 10**9):
        feed = {AUDIO.name: wave[None], NUM_SAMPLES.name: np.array([[count]], dtype=np.int32)}
        assert np.all(np.isfinite(shipped.session.run([LOGITS.name], feed)[0]))


def test_loudness_does_not_decide(shipped: Model) -> None:
    wave = voice(7, 2.0)
    loud = shipped.probabilities(wave)
    for gain_db in (-12, -24):
        quiet = shipped.probabilities((wave * 10 ** (gain_db / 20)).round().astype(np.int16))
        assert np.abs(quiet - loud).max() < 0.03


def test_three_seconds_cost_at_most_ten_milliseconds_of_one_core(shipped: Model) -> None:
    wave = voice(2, 3.0)
    costs_s = []
    for _ in range(15):
        start = time.process_time()
        shipped.hear([wave])
        costs_s.append(time.process_time() - start)
    assert float(np.median(costs_s)) <= 0.010


def test_uar_on_speakers_that_it_never_heard(shipped: Model) -> None:
    folder = os.environ.get("AFFECTSTREAM_AUDIO")
    if not folder:
        pytest.skip("set AFFECTSTREAM_AUDIO to a folder with manifest.tsv")
    pytest.importorskip("soundfile", reason="needs the extra `models`")
    from affectstream_models.dataset import read_manifest, select
    from affectstream_models.metrics import unweighted_average_recall

    labels = read_card(SHIPPED).labels
    clips = select(read_manifest(Path(folder)), corpus="emodb", split="test", labels=labels)
    truth = np.array([labels.index(clip.emotion) for clip in clips])
    told = np.array([shipped.hear([clip.read()])[0][0].argmax() for clip in clips])
    assert unweighted_average_recall(truth, told, len(labels)) >= 0.70
