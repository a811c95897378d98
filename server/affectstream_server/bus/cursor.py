"""Cursors: opaque to callers, a position and what it is a position in to us."""

from __future__ import annotations

import struct
from typing import Final

from affectstream_server.bus.entry import INCARNATION_BYTES, Position

_SESSION: Final = struct.Struct(f">c{INCARNATION_BYTES}sIQ")
_TENANT: Final = struct.Struct(">cQQ")
_OF_SESSION: Final = b"s"
_OF_TENANT: Final = b"t"
_RESPONSE_TAG: Final = b"\x0a"
"""Field 1 of a WatchAffectResponse, its event."""
_CURSOR_TAG: Final = b"\x32"
"""Field 6 of a SessionEvent."""


class BadCursor(Exception):
    """None of ours, or of another kind of subject."""


def of_session(incarnation: bytes, position: Position) -> bytes:
    """The cursor of a session's event; b"" for the incarnation: of no session."""
    return _SESSION.pack(_OF_SESSION, incarnation, *position)


def of_tenant(position: Position) -> bytes:
    """The cursor of a tenant's event."""
    return _TENANT.pack(_OF_TENANT, *position)


def session_position(cursor: bytes) -> tuple[bytes, Position]:
    """Incarnation and position. Raises `BadCursor`."""
    if len(cursor) != _SESSION.size or cursor[:1] != _OF_SESSION:
        raise BadCursor
    _, incarnation, epoch, sequence = _SESSION.unpack(cursor)
    return incarnation, (epoch, sequence)


def tenant_position(cursor: bytes) -> Position:
    """The position. Raises `BadCursor`."""
    if len(cursor) != _TENANT.size or cursor[:1] != _OF_TENANT:
        raise BadCursor
    _, clock_ms, number = _TENANT.unpack(cursor)
    return clock_ms, number


def with_cursor(response: bytes, cursor: bytes) -> bytes:
    """A serialised response with another cursor: of a scalar field that comes twice the last one holds."""
    event = response[_end_of_varint(response, 1) :] + _CURSOR_TAG + _varint(len(cursor)) + cursor
    return _RESPONSE_TAG + _varint(len(event)) + event


def _end_of_varint(data: bytes, start: int) -> int:
    while data[start] & 0x80:
        start += 1
    return start + 1


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
