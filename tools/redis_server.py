"""A real Redis on a free port, to be stopped, hung, killed and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


class RedisMissing(Exception):
    """There is no redis-server on this machine."""


class RedisServer:
    """``keep``: it writes an append-only file and has its data back after a restart."""

    def __init__(self, folder: Path, *, keep: bool = False, password: str = "") -> None:
        if shutil.which("redis-server") is None:
            raise RedisMissing("needs redis-server: apt-get install redis-server")
        self._folder = folder
        self._options = ["--appendonly", "yes" if keep else "no", "--save", ""]
        self._password = password
        if password:
            self._options += ["--requirepass", password]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Of the process, once it was started."""
        assert self._process is not None  # noqa: S101 - its user started it
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                str(self._folder),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(500):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                    link.sendall(b"PING\r\n")
                    answer = link.recv(64)
            except OSError:
                answer = b""
            if answer.startswith((b"+PONG", b"-NOAUTH")):
                return
            time.sleep(0.01)
        raise RedisMissing("redis-server did not start")

    def kill(self) -> None:
        """Gone at once, as by kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """It holds its connections and answers nothing."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        self._send(signal.SIGCONT)

    def cli(self, *words: str) -> str:
        """What redis-cli answers."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *words],
            capture_output=True,
            errors="replace",
            check=True,
            timeout=10,
        )
        return done.stdout

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
