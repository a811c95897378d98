"""Programs that a test needs and starts, each on a free port, with its words in a file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

END_S = 60
"""For a program to end that was told to, on a busy machine."""
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has."""
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


def needed(program: str, package: str) -> str:
    """Where a program is, or a skip with its reason."""
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"needs {program}: apt-get install {package}")
    return found


class Child:
    """A running program. Its output goes to ``log``; no setting of this process reaches it."""

    def __init__(self, log: Path, *command: str, environment: Mapping[str, str] | None = None) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AFFECTSTREAM_", "PROXY_"))}
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=inherited | dict(environment or {}),
            )

    @property
    def said(self) -> str:
        """All of its output so far."""
        return self.log.read_text(errors="replace")

    def end(self, signal_number: int) -> int:
        """Send a signal and wait. Returns the exit status."""
        self.process.send_signal(signal_number)
        return self.process.wait(END_S)

    def kill(self) -> None:
        """Gone, if it is not yet."""
        self.process.kill()
        self.process.wait()
