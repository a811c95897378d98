"""A server in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path


def start_process(
    *arguments: str,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> tuple[subprocess.Popen[str], str]:
    """A server process on a free port, and where it listens. Whoever starts it must end it.

    ``environment`` goes over this process's own, of which no setting is passed on. What it logs goes to the
    file ``log``; without one it waits to be read, and there is no room for much.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AFFECTSTREAM_")}
    with log.open("w") if log else nullcontext(subprocess.PIPE) as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "affectstream_server", "--address", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=cwd,
            env=inherited | dict(environment or {}),
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    ready = line.startswith("affectstream: ready on 127.0.0.1:")
    assert ready, log.read_text() if log else process.communicate()[1]
    return process, line.split()[-1]
