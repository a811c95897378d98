"""The stream command of every language, as a process."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.wire.client.helpers import Done, finish

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "clients/node"
GO = ROOT / "clients/go/build/stream"
PATIENT = {"endpointing": {"stall_ms": 20_000}}
"""Settings of a server for which a busy machine's pauses end no utterance."""
OTHERS = ("node", "go")
"""The languages whose command has the same options."""


def command(language: str) -> tuple[str, ...]:
    """What starts it. Skips where the language is not installed; fails where it is and nothing was built."""
    if language == "python":
        return sys.executable, "-m", "affectstream.cli", "stream"
    tool, built = {"node": ("npm", NODE / "node_modules/.ready"), "go": ("protoc-gen-go-grpc", GO)}[language]
    if not built.exists():
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}, which is not installed")
        pytest.fail(f"{built} is not there: make test-clients builds it")
    return ("node", str(NODE / "stream.mjs")) if language == "node" else (str(GO),)


async def start(
    language: str, *arguments: str | Path, stdin: int | None = None, environ: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start it with JSON lines asked for; nothing of this process's own settings is passed on."""
    json = ("--format", "jsonl") if language == "python" else ("--json",)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AFFECTSTREAM_")}
    return await asyncio.create_subprocess_exec(
        *command(language),
        *json,
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=inherited | dict(environ or {}),
        limit=1 << 20,
    )


async def run(
    language: str,
    *arguments: str | Path,
    data: bytes | None = None,
    environ: Mapping[str, str] | None = None,
) -> Done:
    """Run it to its end, with ``data`` on standard input."""
    stdin = None if data is None else asyncio.subprocess.PIPE
    return await finish(await start(language, *arguments, stdin=stdin, environ=environ), data)


async def finish_after(process: asyncio.subprocess.Process, lines: list[str]) -> Done:
    """Wait for one of which ``lines`` were read already."""
    rest = await finish(process)
    return Done(rest.status, "".join(lines) + rest.out, rest.err)


async def read_until(process: asyncio.subprocess.Process, *marks: str) -> list[str]:
    """Its lines until one has the last of ``marks``, each found after the one before."""
    lines: list[str] = []
    assert process.stdout is not None
    for mark in marks:
        async with asyncio.timeout(30):
            while not lines or mark not in lines[-1]:
                line = await process.stdout.readline()
                assert line, f"no {mark} came"
                lines.append(line.decode())
    return lines
