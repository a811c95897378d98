"""The exported graph under the judge, and what is heard of the clips."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch

from affectstream_models import evaluate
from affectstream_models.dataset import Clip
from affectstream_models.errors import ModelsError
from affectstream_models.meralion_card import published
from affectstream_models.meralion_predictor import MeralionPredictor
from affectstream_models.meralion_protocols import PROTOCOLS, merged, pieces
from affectstream_models.meralion_windows import score
from affectstream_models.predictor import Predictor, open_predictor
from tests.models.meralion.conftest import Exported
from tests.models.meralion.helpers import SMALL, Samples, lively


@pytest.mark.parametrize("audio", ["int16", "float32"])
@pytest.mark.parametrize("samples", [4_000, SMALL.window_samples, 2 * SMALL.window_samples + 901])
def test_it_hears_as_the_network_does(exported: Exported, talk: Samples, audio: str, samples: int) -> None:
    predictor: Predictor = MeralionPredictor(exported("float32", audio))
    found = predictor.predict(talk[:samples])
    expected = score(lively(SMALL), torch.from_numpy(talk[:samples]))
    assert torch.allclose(torch.tensor(found.logits).softmax(0), expected.probabilities, atol=1e-5)
    assert torch.allclose(torch.tensor(found.dims), expected.dims, atol=1e-5)


def test_the_judge_opens_it(exported: Exported, tmp_path: Path) -> None:
    for path in (exported("float32"), tmp_path):
        (tmp_path / "model.onnx").write_bytes(exported("float32").read_bytes())
        predictor = open_predictor(path)
        assert isinstance(predictor, MeralionPredictor)
        assert predictor.name == "meralion_ser 1 float32"
        assert predictor.labels[0] == "neutral"


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelsError, match=r"cannot read .*none\.onnx"):
        MeralionPredictor(tmp_path / "none.onnx")


def test_a_graph_that_does_not_say_what_it_is_is_refused(exported: Exported, tmp_path: Path) -> None:
    graph = onnx.load(exported("float32"))
    kept = [item for item in graph.metadata_props if item.key != "affectstream.precision"]
    del graph.metadata_props[:]
    graph.metadata_props.extend(kept)
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(ModelsError, match=r"lacks the metadata 'affectstream\.precision'"):
        open_predictor(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelsError, match="is not a model that ONNX Runtime loads"):
        open_predictor(tmp_path)


def test_a_clip_that_cannot_be_measured_is_named(tmp_path: Path) -> None:
    made = clips(tmp_path, [1.0], "a")
    made[0].path.write_bytes(b"noise")
    with pytest.raises(ModelsError, match=r"cannot read .*0\.wav"):
        pieces(made)


def test_the_command_judges_it_and_prints_the_published_figures_as_such(
    exported: Exported, speech: Path, tmp_path: Path
) -> None:
    rows = [line.split("\t") for line in (speech / "manifest.tsv").read_text().splitlines()[1:]]
    chosen = [row for row in rows if row[1] == "emodb" and row[2] == "test"][::12]
    listed = "".join(f"{speech / row[0]},{row[3]},0.4\n" for row in chosen if row[3] != "other")
    (tmp_path / "clips.csv").write_text("path,emotion,valence\n" + listed)
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    words = [
        exported("float32"),
        "--clips",
        tmp_path / "clips.csv",
        "--out",
        tmp_path / "out",
        "--protocol",
        "2s",
    ]
    assert evaluate.run(parser.parse_args([str(word) for word in words])) == 0
    report = (tmp_path / "out" / "report.md").read_text()
    assert "CCC" in report
    assert "## As published by others, not measured here" in report
    assert "| UAR, 7 classes, four Singapore languages, 2 s / merged 2-15 s | 53.9 / 60.2 |" in report


def test_published_figures_are_this_models_only() -> None:
    assert published("affect-embedded 0.1.0") == ""


def clips(folder: Path, seconds: Sequence[float], emotions: str) -> list[Clip]:
    """Clips whose samples say which clip they are of; all of one speaker."""
    made = []
    for index, (duration_s, emotion) in enumerate(zip(seconds, emotions, strict=True)):
        path = folder / f"{index}.wav"
        soundfile.write(path, np.full(round(duration_s * 16_000), index + 1, np.int16), 16_000)
        made.append(Clip(path, "c", "test", emotion, "one", "f", train_ok=False, dims={"valence": 0.5}))
    return made


def lengths_s(found: Sequence[Clip]) -> list[float]:
    return [len(clip.read()) / 16_000 for clip in found]


def test_pieces_are_two_seconds_and_a_rest_of_one_or_more(tmp_path: Path) -> None:
    found = pieces(clips(tmp_path, [0.5, 2.0, 2.9, 3.0, 5.5], "aaaaa"))
    assert lengths_s(found) == [0.5, 2.0, 2.0, 2.0, 1.0, 2.0, 2.0, 1.5]
    assert len({clip.path for clip in found}) == len(found), "predictions are remembered by path"
    assert all(clip.dims == {"valence": 0.5} for clip in found)


def test_merging_joins_neighbours_of_one_emotion_to_two_seconds(tmp_path: Path) -> None:
    found = merged(clips(tmp_path, [0.9, 0.9, 0.9, 0.9, 1.0, 20.0, 0.4], "aaaabbb"))
    assert lengths_s(found) == pytest.approx([2.7, 0.9, 1.0, 15.0, 0.4])
    assert "".join(clip.emotion for clip in found) == "aabbb"
    assert set(found[0].read().tolist()) == {1, 2, 3}
    assert found[0].dims == {}, "what listeners said of one part is not said of the whole"


def test_whole_utterances_are_left_as_they_are(tmp_path: Path) -> None:
    made = clips(tmp_path, [0.5, 40.0], "ab")
    assert PROTOCOLS["whole"](made) == made
    assert set(PROTOCOLS) == {"whole", "2s", "merged"}
