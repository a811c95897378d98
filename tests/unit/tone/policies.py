"""Policies and readings for tests."""

from __future__ import annotations

from typing import Any

import yaml

from affectstream.tone import Policy
from affectstream.tone.read import read
from affectstream.tone.reading import Kind, Reading

ANGRY = {"value": "probability", "label": "angry", "enter_above": 0.6, "leave_below": 0.4}
SAD = {"value": "probability", "label": "sad", "enter_above": 0.6, "leave_below": 0.4}


def rule(name: str = "upset", *when: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A rule as a file has it."""
    text = fields.pop("text", {"en": f"It may sound {name}."})
    return {"name": name, "when": list(when or [ANGRY]), "style_tags": ["calm"], "text": text, **fields}


def source(*rules: dict[str, Any], **fields: Any) -> str:
    """A policy's YAML."""
    whole = {"version": 1, "name": "tested", "languages": ["en"], "rules": list(rules or [rule()]), **fields}
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)


def policy(*rules: dict[str, Any], **fields: Any) -> Policy:
    """A checked policy."""
    return read(source(*rules, **fields))


def reading(
    end_s: float = 0.0, *, ok: bool = True, kind: Kind = "utterance", angry: float = 0.0, **levels: float
) -> Reading:
    """An utterance: angry to this extent, else sad."""
    return Reading(kind, ok, end_s, {"angry": angry, "sad": 1 - angry}, levels)
