"""Fixtures for every test, in every environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.speech import audio_folder


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of real speech, or a skip with its reason."""
    folder = audio_folder()
    if folder is None:
        pytest.skip("needs real speech: set AFFECTSTREAM_AUDIO to a folder that holds manifest.tsv")
    return folder
