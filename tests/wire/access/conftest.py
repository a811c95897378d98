"""A CA that lives as long as its test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.pki import Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """What callers and servers can have."""
    return Pki(tmp_path)
