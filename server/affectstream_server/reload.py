"""What files hold, read again when they change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from affectstream_server.section import SettingsError

_log = logging.getLogger(__name__)

T = TypeVar("T")
Signature = tuple[tuple[int, int, int] | None, ...]


class Reloaded(Generic[T]):
    """A value made of files. A change that cannot be used is logged once, and the value before stays.

    Any thread may call it.
    """

    def __init__(self, what: str, files: Sequence[str], read: Callable[[], T]) -> None:
        """``read`` makes the value and raises `SettingsError`; here too."""
        self._what = what
        self._files = tuple(Path(file) for file in files)
        self._read = read
        self._lock = threading.Lock()
        self._seen = self._signature()
        self.value = read()

    @property
    def changed(self) -> bool:
        """Whether `renew` has something to read; a look at the files, which does not read them."""
        return self._signature() != self._seen

    def renew(self) -> bool:
        """Read the files if they changed. True: `value` is new."""
        with self._lock:
            signature = self._signature()
            if signature == self._seen:
                return False
            self._seen = signature
            try:
                self.value = self._read()
            except SettingsError as error:
                _log.error("%s: changed and not taken, the one before stays: %s", self._what, error)
                return False
            _log.info("%s: read again", self._what)
            return True

    def _signature(self) -> Signature:
        return tuple(_look_at(file) for file in self._files)


def read_bytes(key: str, file: str, limit_bytes: int) -> bytes:
    """A setting's file. Raises `SettingsError`, which names the setting and the file."""
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(limit_bytes + 1)
    except OSError as error:
        raise SettingsError(f"{key}: {file}: cannot be read: {error.strerror}") from None
    if len(content) > limit_bytes:
        raise SettingsError(f"{key}: {file}: longer than {limit_bytes} bytes, the most that is read")
    return content


def _look_at(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
