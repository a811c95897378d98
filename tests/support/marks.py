"""Marks that are planted in what nobody may keep, and the search for them in whatever was kept."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DEVICES = ("/dev/null", "/dev/zero", "/dev/tty")
_FRAGMENT = 8
"""Samples that are found wherever they are copied together, cut out anywhere in a marked stretch of audio."""
_MOST_ZEROS = 64
_ZEROS = re.compile(b"\\0{%d,}" % _MOST_ZEROS)


@dataclass(frozen=True)
class Mark:
    """Something recognisable, and every way to write it down."""

    name: str
    needles: tuple[bytes, ...]

    def __str__(self) -> str:
        return self.name


def text_mark(name: str, text: str) -> Mark:
    """Of a word: a token, a person, a label."""
    return Mark(name, tuple(_ways(text.encode())))


def bytes_mark(name: str, data: bytes) -> Mark:
    """Of bytes that are no text, and of whatever part of 16 of them."""
    parts = (data[i : i + 16] for i in range(0, len(data) - 15, 4))
    return Mark(name, tuple(dict.fromkeys(needle for part in parts for needle in _ways(part))))


@dataclass(frozen=True)
class MarkedAudio:
    """A stretch of samples that no speech holds, in each form in which a server meets it."""

    codes: NDArray[np.uint8]
    """μ-law ``[n]``; its values are exact in every other form."""

    @classmethod
    def make(cls, seed: int, samples: int = 64) -> MarkedAudio:
        return cls(np.random.default_rng(seed).integers(0, 256, samples).astype(np.uint8))

    @property
    def int16(self) -> NDArray[np.int16]:
        inverted = ~self.codes.astype(np.int32) & 0xFF
        magnitude = (((inverted & 0x0F) << 3) + 0x84 << (inverted >> 4 & 7)) - 0x84
        values: NDArray[np.int16] = np.where(inverted & 0x80, -magnitude, magnitude).astype(np.int16)
        return values

    @property
    def float32(self) -> NDArray[np.float32]:
        """-1..1."""
        values: NDArray[np.float32] = (self.int16 / np.float32(32_768)).astype("<f4")
        return values

    def mark(self) -> Mark:
        """Bytes of every form, and numbers written out."""
        needles: dict[bytes, None] = {}
        for values in (self.codes, self.int16, self.float32, self.int16.byteswap(), self.float32 * 32_768):
            for start in range(len(values) - _FRAGMENT + 1):
                needles |= dict.fromkeys(_ways(values[start : start + _FRAGMENT].tobytes()))
        for values in (self.int16, self.float32, self.codes):
            for start in range(len(values) - _FRAGMENT + 1):
                written = [repr(value) for value in values[start : start + _FRAGMENT].tolist()]
                for between in (", ", ",", " ", "\n"):
                    needles[between.join(written).encode()] = None
        return Mark("audio", tuple(needles))


def _ways(data: bytes) -> Iterator[bytes]:
    """The bytes as they are, escaped, in hex and in base64 at each of its three places."""
    yield data
    escaped = repr(data)[2:-1].encode()
    yield escaped
    yield "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in data).encode()  # protobuf's
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            whole = alphabet(bytes(shift) + data)
            # What its neighbours change at either end is cut off.
            yield whole[4 if shift else 0 : len(whole) - 4]


def found(marks: Iterable[Mark], places: Mapping[str, bytes]) -> list[str]:
    """Which mark stands where: 'audio in HOME/x.log'. Empty: nowhere."""
    # Shared memory is mostly zeros, and thousands of needles are looked for: none of them has so many.
    searched = {place: _ZEROS.sub(bytes(_MOST_ZEROS), content) for place, content in places.items()}
    return [
        f"{mark} in {place}"
        for mark in marks
        for place, content in searched.items()
        if any(needle in content for needle in mark.needles)
    ]


def files_in(*folders: Path) -> dict[str, bytes]:
    """Every file under the folders, by its path; not those that go while they are read."""
    contents = {}
    for path in (path for folder in folders for path in folder.rglob("*")):
        with suppress(FileNotFoundError):
            if path.is_file():
                contents[str(path)] = path.read_bytes()
    return contents


def written_by(pid: int) -> set[str]:
    """Files that a process has open for writing or shares as memory, wherever they are, named or not."""
    process = Path(f"/proc/{pid}")
    paths = set()
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            flags = (process / "fdinfo" / descriptor.name).read_text().split("flags:")[1].split()[0]
            if int(flags, 8) & os.O_ACCMODE:
                paths.add(os.readlink(descriptor))
    for line in (process / "maps").read_text().splitlines():
        _, access, *_, path = line.split(maxsplit=5) if line.count(" ") > 5 else (*line.split(), "")
        if access.startswith("rw") and access.endswith("s"):
            paths.add(path)
    return {path for path in paths if path.startswith("/") and path not in _DEVICES}
