"""Events as Redis has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from affectstream_server.bus.entry import Entry, Placed, Position, Subject

_MARKS: Final = (("g", "may_go"), ("v", "has_values"), ("l", "is_last"), ("a", "again"), ("o", "by_another"))


def marks_of(entry: Entry, *, again: bool = False) -> str:
    """What is known of an event without a look into it."""
    letters = "".join(letter for letter, name in _MARKS if getattr(entry, name) or (again and letter == "a"))
    return f"{entry.sealed_ms} {letters}"


def position_of(text: bytes | str) -> Position:
    """Of a stream's id, ``"1-2"``; a number alone stands before all of its ids."""
    first, _, second = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(first), int(second or 0)


def id_of(position: Position) -> str:
    """A stream's id."""
    return f"{position[0]}-{position[1]}"


def placed_of(subject: Subject, row: tuple[bytes, Mapping[bytes, bytes]]) -> Placed:
    """A row of a stream: where it stands, and the event."""
    at, fields = position_of(row[0]), row[1]
    sealed, _, letters = fields[b"m"].decode().partition(" ")
    epoch, sequence = position_of(fields[b"p"]) if subject.is_tenant else at
    named: dict[str, Any] = {name: letter in letters for letter, name in _MARKS}
    return at, Entry(
        incarnation=bytes.fromhex(fields[b"i"].decode()) if subject.is_tenant else subject.incarnation,
        epoch=epoch,
        sequence=sequence,
        sealed_ms=int(sealed),
        data=fields[b"d"],
        began=int(fields.get(b"b", 0)),
        **named,
    )


def news_of(subject: Subject, message: bytes) -> tuple[Position, list[Placed]]:
    """What publish.lua tells of a log: the position before, and the events."""
    parts, at = [], 0
    while at < len(message):
        length = int.from_bytes(message[at : at + 4])
        parts.append(message[at + 4 : at + 4 + length])
        at += 4 + length
    names = (b"m", b"d", b"i", b"p", b"b") if subject.is_tenant else (b"m", b"d")
    step = len(names) + 1
    rows = [parts[start : start + step] for start in range(1, len(parts), step)]
    placed = [placed_of(subject, (row[0], dict(zip(names, row[1:], strict=True)))) for row in rows]
    return position_of(parts[0]), placed
