"""Tokens of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.access.issued import Issued, issue


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    """In a folder of the test."""
    return issue(tmp_path)
