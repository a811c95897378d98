"""Ogg pages out of bytes that are cut anywhere (RFC 3533). What fails its checksum is passed over."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CAPTURE: Final = b"OggS"
_HEADER: Final = struct.Struct("<4sBBqIIIB")
_CONTINUES, _BEGINS, _ENDS = 1, 2, 4
_MOST_LOOKS: Final = 16
"""Pages looked for behind one that has not come whole."""
_MIRRORED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Page:
    """One page with the packets that end on it, and what of the next one it holds."""

    serial: int
    sequence: int
    granule: int
    """Position after its last whole packet; -1 where no packet ends on it."""
    continues: bool
    """Its first packet began on the page before."""
    begins: bool
    ends: bool
    packets: tuple[bytes, ...]
    rest: bytes | None
    """Start of a packet that goes on on the next page; None: there is none."""


class PageReader:
    """Holds the part of a page that has come; at most one page, 65,307 bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.skipped_bytes = 0
        """Bytes that belong to no page, so far."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of a page that has not come whole."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Page]:
        """The pages that are whole with ``data``, in order."""
        self._buffer += data
        while (page := self._next()) is not None:
            yield page

    def _next(self) -> Page | None:
        buffer = self._buffer
        start = buffer.find(CAPTURE)
        waiting = -1
        looked = 0
        while start >= 0 and looked < _MOST_LOOKS:
            size = self._size_at(start)
            if size and checksum(content := bytes(buffer[start : start + size])) == content[22:26]:
                self._skip(start)
                del buffer[:size]
                return _page(content)
            if not size and waiting < 0:
                waiting = start
            # A damaged header can ask for more than will ever come: look for a page behind it.
            looked += 1
            start = buffer.find(CAPTURE, start + len(CAPTURE))
        if waiting < 0 and start >= 0:
            waiting = start
        # Without a capture pattern the last three bytes may still be the start of one.
        self._skip(waiting if waiting >= 0 else max(0, len(buffer) - len(CAPTURE) + 1))
        return None

    def _size_at(self, start: int) -> int:
        """Bytes of the page there; 0 while it is not whole."""
        buffer = self._buffer
        if len(buffer) < start + _HEADER.size:
            return 0
        body = start + _HEADER.size + buffer[start + _HEADER.size - 1]
        if len(buffer) < body:
            return 0
        end = body + sum(buffer[start + _HEADER.size : body])
        return end - start if len(buffer) >= end else 0

    def _skip(self, count: int) -> None:
        del self._buffer[:count]
        self.skipped_bytes += count


def checksum(page: bytes) -> bytes:
    """The four bytes that stand at 22 in a page which is whole.

    Ogg's CRC-32 is zlib's with every byte and the result mirrored, begun at 0 and not inverted.
    """
    mirrored = (page[:22] + bytes(4) + page[26:]).translate(_MIRRORED)
    value = zlib.crc32(mirrored, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value.to_bytes(4, "little").translate(_MIRRORED)[::-1]


def _page(content: bytes) -> Page:
    _, _, flags, granule, serial, sequence, _, count = _HEADER.unpack_from(content)
    body = _HEADER.size + count
    packets = []
    start = end = body
    whole = True
    for length in content[_HEADER.size : body]:
        end += length
        whole = length < 255
        if whole:
            packets.append(content[start:end])
            start = end
    return Page(
        serial=serial,
        sequence=sequence,
        granule=granule,
        continues=bool(flags & _CONTINUES),
        begins=bool(flags & _BEGINS),
        ends=bool(flags & _ENDS),
        packets=tuple(packets),
        rest=None if whole else content[start:],
    )
