"""Events and their places as messages between processes carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from affectstream_server.bus.entry import Entry, Placed, Position, Subject

Head = list[Any]
"""Of an entry: everything but its data, and how long that is."""


def subject_fields(subject: Subject) -> list[str]:
    """As JSON has it."""
    return [subject.tenant, subject.session_id, subject.incarnation.hex()]


def subject_of(fields: Sequence[str]) -> Subject:
    """From JSON."""
    return Subject(fields[0], fields[1], bytes.fromhex(fields[2]))


def position_of(fields: Sequence[int]) -> Position:
    """From JSON."""
    return fields[0], fields[1]


def head_of(entry: Entry) -> Head:
    """As JSON has it."""
    flags = (entry.may_go, entry.has_values, entry.is_last, entry.again, entry.by_another)
    bits = sum(flag << bit for bit, flag in enumerate(flags))
    numbers = (entry.epoch, entry.sequence, entry.sealed_ms, entry.began, bits)
    return [entry.incarnation.hex(), *numbers, len(entry.data)]


def entry_of(head: Head, data: bytes) -> Entry:
    """From JSON and the data."""
    incarnation, epoch, sequence, sealed_ms, began, bits, _ = head
    flags = [bool(bits & 1 << bit) for bit in range(5)]
    may_go, has_values, is_last, again, by_another = flags
    return Entry(
        incarnation=bytes.fromhex(incarnation),
        epoch=epoch,
        sequence=sequence,
        sealed_ms=sealed_ms,
        data=data,
        may_go=may_go,
        has_values=has_values,
        is_last=is_last,
        again=again,
        by_another=by_another,
        began=began,
    )


def pack(placed: Sequence[Placed]) -> tuple[dict[str, Any], bytes]:
    """Events with their places as one answer."""
    fields = {"placed": [[at, head_of(entry)] for at, entry in placed]}
    return fields, b"".join(entry.data for _, entry in placed)


def unpack(fields: dict[str, Any], blob: bytes) -> list[Placed]:
    """The answer's events with their places."""
    placed: list[Placed] = []
    begin = 0
    for at, head in fields["placed"]:
        end = begin + head[-1]
        placed.append((position_of(at), entry_of(head, blob[begin:end])))
        begin = end
    return placed
