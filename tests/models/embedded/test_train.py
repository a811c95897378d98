"""Training: seeded, whole, and faithful to what is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `models`")

import torch

from affectstream_models.card import read_card
from affectstream_models.cli import main
from affectstream_models.crossfit import held_out_speakers, leave_speakers_out
from affectstream_models.embedded import EMBEDDING_SIZE, LABELS, MEMBERS, EmbeddedModel, Heads
from affectstream_models.fit import Examples, Recipe, fit_heads
from affectstream_models.modelfile import export, weights_sha256
from affectstream_models.utterance import STATISTICS
from tests.models.embedded.helpers import Model, Waveform

COLUMNS = ("labels", "speakers", "genders", "sentences", "altered")
TINY = ("--copies", "3", "--epochs", "3")


def train(audio: Path, out: Path, seed: int) -> Model:
    assert main(["train", "--audio", str(audio), "--out", str(out), "--seed", str(seed), *TINY]) == 0
    return Model(out)


def examples(count: int = 64) -> Examples:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % len(LABELS)
    statistics = rng.normal(0, 1, (count, STATISTICS)).astype(np.float32)
    statistics[np.arange(count), labels] += 4
    speakers = np.array(["ann", "bob", "eve", "joe"])[np.arange(count) // 4 % 4]
    genders = np.array(["f", "m"])[np.arange(count) // 4 % 2]
    sentences = np.array(["a01", "b02"])[np.arange(count) // 16 % 2]
    return Examples(
        statistics, labels.astype(np.int64), speakers, genders, sentences, np.arange(count) % 2 > 0
    )


@pytest.mark.timeout(180)
def test_the_same_seed_gives_the_same_weights(tiny_audio: Path, tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        train(tiny_audio, tmp_path / name, seed)
    digests = {name: read_card(tmp_path / name).weights_sha256 for name in ("first", "again", "other")}
    assert digests["first"] == digests["again"]
    assert digests["first"] != digests["other"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["card.toml", "model.onnx"]
    assert read_card(tmp_path / "first").seed == 5


@pytest.mark.timeout(120)
def test_the_exported_graph_is_the_trained_one(voices: list[Waveform], tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = EmbeddedModel(Heads()).eval()
    proto = export(model)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    exported = Model(tmp_path)
    for wave in voices:
        count = torch.tensor([[len(wave)]], dtype=torch.int32)
        with torch.no_grad():
            ours = model(torch.from_numpy(wave)[None], count)
        for mine, theirs in zip(ours, exported.hear([wave]), strict=True):
            np.testing.assert_allclose(theirs, mine.numpy(), rtol=0, atol=2e-4)


@pytest.mark.timeout(120)
def test_the_digest_follows_the_weights() -> None:
    torch.manual_seed(1)
    heads = Heads()
    before = weights_sha256(export(EmbeddedModel(heads)))
    with torch.no_grad():
        heads.emotion_bias[0] += 1
    assert weights_sha256(export(EmbeddedModel(heads))) != before


def test_fitting_learns_what_is_there() -> None:
    told = examples()
    steps: list[int] = []
    heads = fit_heads(told, 1, Recipe(epochs=30, batch=16), lambda: steps.append(1))
    with torch.no_grad():
        logits, arousal, embedding = heads(torch.from_numpy(told.statistics))
    assert float((logits.argmax(dim=1).numpy() == told.labels).mean()) > 0.95
    assert len(steps) == 30
    assert embedding.shape == (len(told), EMBEDDING_SIZE)
    by_label = [float(arousal[told.labels == label].mean()) for label in range(4)]
    assert min(by_label[1], by_label[3]) > max(by_label[0], by_label[2])


def test_examples_must_fit_together() -> None:
    with pytest.raises(ValueError, match="statistics must be"):
        Examples(np.zeros((2, 3), np.float32), *(getattr(examples(2), name) for name in COLUMNS))
    columns = {name: getattr(examples(2), name) for name in ("statistics", *COLUMNS)}
    with pytest.raises(ValueError, match="a value for each row"):
        Examples(**{**columns, "sentences": np.array(["a01"])})


def test_what_is_unlike_training_is_strange_and_doubted() -> None:
    told = examples()
    heads = fit_heads(told, 1, Recipe(epochs=10, batch=16))
    heads.temperature.copy_(torch.tensor([1.0, 1.0]))
    usual = torch.from_numpy(told.statistics)
    odd = usual + 4 * torch.randn(usual.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert float(heads.strangeness(heads.standard(usual)).median()) == pytest.approx(1, abs=0.01)
        assert float(heads.strangeness(heads.standard(odd)).median()) > 2
        plain, calibrated = heads.together(heads.standard(odd))[0], heads(odd)[0]
    np.testing.assert_array_equal(plain.argmax(dim=1), calibrated.argmax(dim=1))
    assert bool((plain.softmax(dim=1).amax(dim=1) > calibrated.softmax(dim=1).amax(dim=1)).all())


def test_members_differ_and_their_mean_is_told() -> None:
    heads = fit_heads(examples(), 1, Recipe(epochs=2, batch=16))
    standard = heads.standard(torch.from_numpy(examples().statistics))
    with torch.no_grad():
        members = heads.members(standard)[0].softmax(dim=2)
        told = heads.together(standard)[0].exp()
    assert members.shape[0] == MEMBERS
    assert float((members[0] - members[1]).abs().max()) > 0.01
    np.testing.assert_allclose(told, members.mean(dim=0), atol=1e-6)


def test_every_pair_of_speakers_is_heard_by_heads_that_never_heard_it() -> None:
    told = examples()
    assert len(held_out_speakers(told)) == 6
    calls: list[int] = []
    (unseen,) = leave_speakers_out(told, [told], 1, Recipe(epochs=1, batch=16), lambda: calls.append(1))
    assert len(calls) == 6
    # Each of four speakers is in three pairs.
    assert len(unseen.labels) == 3 * len(told)
