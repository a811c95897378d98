"""An extension of griffe, for mkdocstrings: fields without a docstring are described as the wire's are.

It runs where mkdocstrings does, without this project installed: `python -m tools.docs` writes what it reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import griffe

FIELDS = Path(__file__).resolve().parents[2] / "build" / "docs-fields.json"


class Wire(griffe.Extension):
    """Gives attributes their text from `FIELDS`."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = json.loads(FIELDS.read_text(encoding="utf-8"))

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        if attr.docstring is None and (text := self._texts.get(attr.path)):
            attr.docstring = griffe.Docstring(text, parent=attr)
