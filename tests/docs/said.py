"""What the code says when a call fails or a stream is warned, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectstream import errors
from affectstream_server import errors as server_errors

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "server/affectstream_server"
CLIENT = ROOT / "clients/python/affectstream"
BRIDGE = CLIENT / "bridge"
WARNERS = ("warn", "NoEffect", "_word")
"""Functions whose first argument is the code of a warning."""


@dataclass(frozen=True)
class Said:
    """One place that gives a reason."""

    reason: str
    """Empty: it is made while the program runs."""
    status: str
    """Empty: the place does not say."""
    delay: bool
    where: str


def reasons(folder: Path, *without: Path) -> Iterator[Said]:
    """Every error that the modules of a folder make."""
    for where, call in _calls(folder, *without):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        status = _status(call.func)
        if "reason" not in given or status is None:
            continue
        text = given["reason"]
        name = str(text.value) if isinstance(text, ast.Constant) else ""
        yield Said(name, status, "retry_after_s" in given, where)


def warnings(*folders: Path) -> Iterator[str]:
    """The code of every warning that is given by name."""
    for folder in folders:
        for _, call in _calls(folder):
            name = ast.unparse(call.func).rpartition(".")[2]
            keywords = {keyword.arg: keyword.value for keyword in call.keywords}
            first = call.args[0] if call.args and name in WARNERS else None
            code = keywords.get("code") if name == "Warning" else first
            if isinstance(code, ast.Constant) and str(code.value).isupper():
                yield str(code.value)


def _calls(folder: Path, *without: Path) -> Iterator[tuple[str, ast.Call]]:
    for file in sorted(folder.rglob("*.py")):
        if "_pb2" in file.name or any(file.is_relative_to(other) for other in without):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node


def _status(function: ast.expr) -> str | None:
    """The gRPC status of the error that is made; None: it is no error."""
    name = ast.unparse(function).rpartition(".")[2]
    if name == "malformed":
        return "INVALID_ARGUMENT"
    kind: Any = getattr(server_errors, name, None) if "errors." not in ast.unparse(function) else None
    kind = kind or getattr(errors, name, None)
    if name in ("__init__", "kind"):
        return ""
    status = getattr(kind, "status", None)
    return getattr(status, "name", status)
