"""Files written so that no reader sees a half."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from affectstream_models.errors import ModelsError


def prepare_folder(folder: Path) -> None:
    """Creates the folder, and refuses early where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ModelsError(f"cannot write to {folder}: {error.strerror}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """A reader finds the old file or the new one, never a part."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
    except OSError as error:
        raise ModelsError(f"cannot write {path}: {error.strerror}") from error
