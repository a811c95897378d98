"""The commands of docs/tls-and-tokens.md, as they stand there."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/tls-and-tokens.md").read_text(encoding="utf-8")


def commands(block: int, port: int) -> list[str]:
    """The lines of a block, with this interpreter and a free port."""
    text = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[block].replace("50551", str(port))
    text = re.sub(r"^affectstream ", f"{sys.executable} -m affectstream.cli ", text, flags=re.MULTILINE)
    return re.sub(r"^python ", f"{sys.executable} ", text, flags=re.MULTILINE).splitlines()


def test_five_commands_serve_and_what_a_caller_needs_is_enough(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    *prepare, serve = commands(0, port)
    assert len(prepare) == 4
    for line in prepare:
        subprocess.run(line, shell=True, cwd=tmp_path, check=True, capture_output=True)  # noqa: S602 - our own page
    assert "0.0.0.0" in serve  # noqa: S104 - that it may listen there is the point
    serve = serve.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the test stays on this machine
    subprocess.run(f"{serve} --check", shell=True, cwd=tmp_path, check=True, capture_output=True)  # noqa: S602
    server = subprocess.Popen(serve.split(), cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith(b"affectstream: ready on")
        for line in commands(1, port):
            done = subprocess.run(line.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        without = [part for part in commands(1, port)[0].split() if "token" not in part]
        done = subprocess.run(without, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "no token that this server accepts" in done.stderr
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.communicate(timeout=20)
