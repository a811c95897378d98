"""Inputs that are kept: a file a target, a line an input, its name and its bytes in base64.

A name says what was once wrong there, and never goes; ``found-…`` are inputs that the fuzzer kept because
each reaches code that no other does. All come from the synthetic seeds of the targets.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "corpus"
FOUND: Final = "found-"


def read(target: str) -> dict[str, bytes]:
    """Every kept input of a target, by name."""
    file = FOLDER / f"{target}.tsv"
    if not file.exists():
        return {}
    lines = (line.split("\t") for line in file.read_text(encoding="ascii").splitlines())
    return {name: base64.b64decode(content) for name, content in lines}


def write(target: str, inputs: dict[str, bytes]) -> None:
    """Keep these and no others, in order of their names."""
    FOLDER.mkdir(exist_ok=True)
    lines = (f"{name}\t{base64.b64encode(inputs[name]).decode()}\n" for name in sorted(inputs))
    (FOLDER / f"{target}.tsv").write_text("".join(lines), encoding="ascii")


def unpack(inputs: dict[str, bytes], folder: Path) -> None:
    """As the fuzzer takes them: a file an input."""
    folder.mkdir(parents=True, exist_ok=True)
    for content in inputs.values():
        (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def pack(folder: Path) -> dict[str, bytes]:
    """A folder's files as inputs that were found."""
    contents = (file.read_bytes() for file in sorted(folder.iterdir()))
    return {f"{FOUND}{hashlib.sha256(content).hexdigest()[:12]}": content for content in contents}
