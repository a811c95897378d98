"""Without its framework an adapter says what to install."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize("name", ["pipecat", "livekit"])
def test_an_adapter_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"affectstream.integrations.{name}", raising=False)
    with pytest.raises(ImportError, match=rf'pip install "affectstream\[{name}\]"'):
        importlib.import_module(f"affectstream.integrations.{name}")
