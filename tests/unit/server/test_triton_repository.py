"""`triton_repo/affect_embedded` is what would be rendered from the bundled model."""

from __future__ import annotations

from pathlib import Path

import pytest

from affectstream_server.scoring.embedded import BUNDLED
from affectstream_server.scoring.triton_render import main, render, stale

REPOSITORY = Path(__file__).resolve().parents[3] / "triton_repo"


def test_the_repository_is_as_rendered() -> None:
    changed = stale(REPOSITORY / "affect_embedded")
    assert not changed, "run python -m affectstream_server.scoring.triton_render"


def test_both_configurations_have_one_contract() -> None:
    files = render()
    python, onnx = files["config.pbtxt"].splitlines(), files["configs/onnx.pbtxt"].splitlines()
    apart = {line.strip() for line in set(python) ^ set(onnx)}
    assert apart == {'backend: "python"', 'backend: "onnxruntime"', "allow_ragged_batch: true"}


def test_it_writes_what_is_missing_and_then_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "affect_embedded"
    assert main(["--repository", str(tmp_path), "--check"]) == 1
    assert main(["--repository", str(tmp_path), "--onnx"]) == 0
    assert (folder / "1/model.onnx").read_bytes() == (BUNDLED / "model.onnx").read_bytes()
    assert main(["--repository", str(tmp_path), "--check"]) == 0
    (folder / "labels.txt").write_text("happy\n")
    capsys.readouterr()
    assert main(["--repository", str(tmp_path), "--check"]) == 1
    assert "labels.txt" in capsys.readouterr().err
