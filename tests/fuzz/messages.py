"""Inputs that are protobuf messages one after the other, and changes to them that stay messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

M = TypeVar("M", bound=Message)
MOST = 64
"""Messages in an input."""
_NUMBERS = (0, 1, -1, 2, 7, 100, 8_000, 16_000, 48_000, 2**15, 2**31 - 1, 2**32 - 1, 2**63 - 1, -(2**63))
_FLOATS = (0.0, 0.5, 1.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"))


def joined(parts: Iterable[bytes]) -> bytes:
    """Each part after its length, in two bytes."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def split(data: bytes) -> list[bytes]:
    """The parts; the last may be cut."""
    parts: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(parts) < MOST:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        parts.append(data[at + 2 : end])
        at = end
    return parts


def mutated(
    data: bytes, max_size: int, seed: int, kind: Callable[[], Message], flip: Callable[[bytes, int], bytes]
) -> bytes:
    """The input with one thing changed: a part's place, one of its fields, or by ``flip`` any byte."""
    chance = random.Random(seed)  # noqa: S311 - the fuzzer's own seed
    parts = split(data) or [b""]
    place = chance.randrange(len(parts))
    match chance.randrange(8):
        case 0:
            parts.insert(place, parts[chance.randrange(len(parts))])
        case 1:
            parts.pop(place)
        case 2:
            other = chance.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        case 3:
            parts[place] = flip(parts[place], 4_096)
        case 4:
            return flip(data, max_size)
        case _:
            try:
                message = kind()
                message.ParseFromString(parts[place])
                _change(message, chance, flip)
                parts[place] = message.SerializeToString()
            except (DecodeError, ValueError):  # ValueError: text that is no text any more
                parts[place] = flip(parts[place], 4_096)
    found = joined(part[:0xFFFF] for part in parts)
    return found if len(found) <= max_size else data[:max_size]


def _change(message: Message, chance: random.Random, flip: Callable[[bytes, int], bytes]) -> None:
    """Set, change or clear one field, somewhere in the message."""
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    here = [field for field, _ in message.ListFields()]
    field: Any = chance.choice(here if here and chance.random() < 0.7 else list(fields))
    if chance.random() < 0.1:
        message.ClearField(field.name)
        return
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if is_map:
        entries: Any = getattr(message, field.name)
        key, value = (flip(b"key", 80).decode("latin-1") for _ in range(2))
        if field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_STRING:
            entries[key] = value
    elif field.is_repeated:
        _change_list(getattr(message, field.name), field, chance, flip)
    elif field.message_type is not None:
        inner: Any = getattr(message, field.name)
        if not message.HasField(field.name):
            inner.SetInParent()
        _change(inner, chance, flip)
    else:
        setattr(message, field.name, _value(field, getattr(message, field.name), chance, flip))


def _change_list(
    items: Any, field: FieldDescriptor, chance: random.Random, flip: Callable[[bytes, int], bytes]
) -> None:
    if field.message_type is None:
        items.append(_value(field, field.default_value or 0, chance, flip))
    elif not items or chance.random() < 0.3:
        _change(items.add(), chance, flip)
    elif chance.random() < 0.2:
        del items[chance.randrange(len(items))]
    else:
        _change(items[chance.randrange(len(items))], chance, flip)


def _value(
    field: FieldDescriptor, value: Any, chance: random.Random, flip: Callable[[bytes, int], bytes]
) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return flip(value, 4_096)
    if field.type == FieldDescriptor.TYPE_STRING:
        return flip(str(value).encode(), 256).decode("utf-8", "replace")
    if field.enum_type is not None:
        return chance.choice([*(known.number for known in field.enum_type.values), 99])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return not value
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return chance.choice((*_FLOATS, value / 2, value * 2))
    return chance.choice((*_NUMBERS, value + 1, value - 1, value * 2, chance.randrange(100_000)))
