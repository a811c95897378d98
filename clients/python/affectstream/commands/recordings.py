"""Recordings of one utterance each: which there are, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectstream.commands import InputError
from affectstream.commands.sources import FileSource
from affectstream.config import AudioFormat
from affectstream.contract import LIMITS
from affectstream.enums import AudioEncoding

SUFFIXES: Final = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus"})
"""What is looked for in folders. A file that is named is taken whatever it is called."""


def find_recordings(paths: Iterable[Path]) -> list[Path]:
    """The files that are named, and those in the folders that are named and below; each once, in order.

    Raises:
        InputError: a path that does not exist, or a folder without recordings.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES
                and not _is_hidden(file.relative_to(path))
                and file.is_file()
            )
            if not inside:
                raise InputError(f"{path} holds no recordings ({', '.join(sorted(SUFFIXES))})")
        elif path.exists():
            inside = [path]
        else:
            raise InputError(f"cannot read {path}: no such file or folder")
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@dataclass(frozen=True, slots=True)
class Recording:
    """One channel of a recording, as it goes over the wire."""

    audio: AudioFormat
    data: bytes


async def read_recording(path: Path, channel: int | None) -> Recording:
    """One channel of a recording of at most 30 s, at its own rate.

    Raises:
        InputError: it cannot be read, is too long, or has no such channel.
    """
    source = FileSource(path, None)
    duration_s = source.duration_s or 0.0
    if duration_s * 1_000 > LIMITS.analyze_ms:
        raise InputError(
            f"{path} is {duration_s:.1f} s long, the limit for one utterance is "
            f"{LIMITS.analyze_ms / 1_000:g} s; find its utterances with: affectstream stream {path}"
        )
    count = source.audio.channel_count
    if channel is None and count > 1:
        raise InputError(f"{path} has {count} channels; say which to analyse: --channel 0..{count - 1}")
    if channel is not None and not 0 <= channel < count:
        raise InputError(f"{path}: --channel is {channel}, the limit is 0..{count - 1}")
    whole = round(duration_s * source.audio.sample_rate_hz)
    data = b"".join([frame async for frame in source.frames(max(1, whole))])
    audio = AudioFormat(encoding=source.audio.encoding, sample_rate_hz=source.audio.sample_rate_hz)
    return Recording(audio, data if count == 1 else _one_channel(data, source.audio, channel or 0))


def _one_channel(data: bytes, audio: AudioFormat, channel: int) -> bytes:
    import numpy as np

    dtype = "<f4" if audio.encoding == AudioEncoding.FLOAT32 else "<i2"
    return np.frombuffer(data, dtype).reshape(-1, audio.channel_count)[:, channel].tobytes()
