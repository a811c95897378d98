"""The little Markdown that the generated pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

GENERATED = "Generated from {source}; do not edit."


def page(title: str, source: str, *parts: str) -> str:
    """A page: its title, what it is made from, and its parts, with a blank line between."""
    note = f"<!-- {GENERATED.format(source=source)} -->"
    return "\n\n".join([note, f"# {title}", *(part for part in parts if part)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold line breaks and vertical bars."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def prose(comment: str) -> str:
    """A comment as running text, in which snake_case and UPPER_CASE names become code."""
    parts = re.split(r"(`[^`]*`|https?://\S+)", " ".join(comment.split()))
    return "".join(part if part.startswith(("`", "http")) else _names(part) for part in parts)


def anchor(name: str) -> str:
    """The anchor of a heading that is this one name."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")


def _names(text: str) -> str:
    text = re.sub(r"\b((?:\w+\.)*[a-z]+(?:_[a-z0-9]+)+|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b", r"`\1`", text)
    return text.replace("<", "&lt;").replace("*", r"\*")


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", "<br>")
