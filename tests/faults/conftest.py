"""The same rule as on the wire: nothing outlives its test."""

from __future__ import annotations

from tests.wire.conftest import _nothing_is_left  # noqa: F401 - used by every test here
