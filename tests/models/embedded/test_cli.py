"""The command line: help without the extra, and one clear line for what a user can put right."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from affectstream_models.cli import COMMANDS, main


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that fails with status 2."""
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("affectstream-models: ")
    return lines[0]


def test_help_lists_every_command_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in text
        assert command.help in text
    assert "AFFECTSTREAM_AUDIO" in text


def test_help_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "onnx", "scipy", "rich", "soundfile"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("affectstream_models.")]:
        if name.rpartition(".")[2] not in ("cli", "errors"):
            monkeypatch.delitem(sys.modules, name)
    for name in ("torch", "scipy", "onnx", "soundfile"):
        monkeypatch.setitem(sys.modules, name, None)
    line = failure(capsys, "train", "--out", "x")
    assert "not installed: pip install 'affectstream[models]'" in line


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["trian"])
    assert stopped.value.code == 2
    assert "trian" in capsys.readouterr().err


class TestTrain:
    @pytest.fixture(autouse=True)
    def _extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("torch", reason="needs the extra `models`")
        monkeypatch.delenv("AFFECTSTREAM_AUDIO", raising=False)

    def test_no_folder_given(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert "--audio DIR, or set AFFECTSTREAM_AUDIO" in failure(capsys, "train", "--out", str(tmp_path))

    def test_folder_missing(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        line = failure(capsys, "train", "--out", str(tmp_path), "--audio", str(tmp_path / "nowhere"))
        assert "nowhere does not exist" in line

    def test_manifest_missing(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        assert "has no manifest.tsv" in failure(
            capsys, "train", "--out", str(tmp_path), "--audio", str(tmp_path)
        )

    def test_manifest_without_columns(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "manifest.tsv").write_text("path\tcorpus\nx\ty\n")
        line = failure(capsys, "train", "--out", str(tmp_path / "out"), "--audio", str(tmp_path))
        assert "lacks the columns emotion, gender" in line

    def test_manifest_without_speech(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        (tmp_path / "manifest.tsv").write_text("path\tcorpus\tsplit\temotion\tspeaker\tgender\ttrain_ok\n")
        line = failure(capsys, "train", "--out", str(tmp_path / "out"), "--audio", str(tmp_path))
        assert "no emodb/train clips with train_ok = yes" in line

    def test_clip_missing(self, capsys: pytest.CaptureFixture[str], tiny_audio: Path, tmp_path: Path) -> None:
        (tmp_path / "manifest.tsv").write_bytes((tiny_audio / "manifest.tsv").read_bytes())
        line = failure(capsys, "train", "--out", str(tmp_path / "out"), "--audio", str(tmp_path))
        assert "cannot read" in line

    def test_output_is_a_file(
        self, capsys: pytest.CaptureFixture[str], tiny_audio: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "taken").write_text("")
        line = failure(capsys, "train", "--audio", str(tiny_audio), "--out", str(tmp_path / "taken"))
        assert "cannot write to" in line

    @pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
    def test_output_is_read_only(
        self, capsys: pytest.CaptureFixture[str], tiny_audio: Path, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o500)
        line = failure(capsys, "train", "--audio", str(tiny_audio), "--out", str(tmp_path))
        assert "cannot write to" in line

    def test_counts_out_of_range(
        self, capsys: pytest.CaptureFixture[str], tiny_audio: Path, tmp_path: Path
    ) -> None:
        words = ("train", "--audio", str(tiny_audio), "--out", str(tmp_path), "--copies", "0")
        assert "--copies and --epochs must be at least 1" in failure(capsys, *words)
