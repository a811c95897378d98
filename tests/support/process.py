"""A server in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def start_process(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[str], str]:
    """A server process on a free port, and where it listens. Whoever starts it must end it.

    ``environment`` goes over this process's own, of which no setting is passed on.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AFFECTSTREAM_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "affectstream_server", "--address", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=inherited | dict(environment or {}),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("affectstream: ready on 127.0.0.1:"), process.communicate()[1]
    return process, line.split()[-1]
