"""What the clients of every language are tried with."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.support.pki import Pki
from tests.support.speech import sample_talk


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """The whole sample talk as a WAV file."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, sample_talk(), 16_000, subtype="PCM_16")
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Its first utterance."""
    path = tmp_path / "short.wav"
    soundfile.write(path, sample_talk()[: 16 * 4_200], 16_000, subtype="PCM_16")
    return path


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A server's certificate and CAs, in a folder of the test."""
    return Pki(tmp_path)
