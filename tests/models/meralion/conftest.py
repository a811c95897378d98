"""Real speech, and the small network as ONNX of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from affectstream_models.export import ExportOptions, export
from tests.models.meralion.helpers import SMALL, Samples, lively

Exported = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def talk(speech: Path) -> Samples:
    """A minute of clean speech from its first word on, int16 at 16 kHz."""
    audio, rate_hz = soundfile.read(speech / "conversation" / "conv00_clean.flac", dtype="int16")
    assert rate_hz == 16_000
    result: Samples = audio[16_000 * 6 // 5 :]
    assert len(result) >= 40 * rate_hz
    return result


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The small network as ONNX; each kind is written once a session."""
    folder = tmp_path_factory.mktemp("onnx")
    done: dict[tuple[object, ...], Path] = {}

    def path(precision: str, audio: str = "float32", opset: int = 22) -> Path:
        key = (precision, audio, opset)
        if key not in done:
            file = folder / ("-".join(map(str, key)) + ".onnx")
            options = ExportOptions(precision=precision, audio=audio, opset=opset)  # type: ignore[arg-type]
            done[key] = export(lively(SMALL), file, options)
        return done[key]

    return path
