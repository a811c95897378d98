"""A real Prometheus on a free port, and promtool: `python -m tools.prometheus` plays the rules' tests.

Debian's package `prometheus` brings both; `make .venv-prometheus/.ready` unpacks it here, and starts nothing.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
CONFIG: Final = ROOT / "deploy/prometheus/prometheus.yml"
_UNPACKED: Final = ROOT / ".venv-prometheus/usr/bin"
_START_S: Final = 30.0
_STOP_S: Final = 10.0


class PrometheusMissing(Exception):
    """There is no Prometheus on this machine, or it does not start."""


class QueryFailed(Exception):
    """Prometheus refuses a query; the message is its own."""


def program(name: str) -> str:
    """Path of prometheus or promtool. Raises `PrometheusMissing`."""
    found = shutil.which(name) or shutil.which(name, path=str(_UNPACKED))
    if found is None:
        raise PrometheusMissing(f"needs {name}: make .venv-prometheus/.ready, or Debian's package prometheus")
    return found


def check() -> int:
    """promtool looks at configuration and rules, and plays every scenario; the exit status."""
    folder = CONFIG.parent
    for words in (
        ["check", "config", CONFIG.name],
        ["test", "rules", *sorted(str(path.relative_to(folder)) for path in folder.glob("tests/*.yml"))],
    ):
        done = subprocess.run(
            [program("promtool"), *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            return done.returncode
    return 0


def read_by(targets: Mapping[str, Sequence[str]], folder: Path, **changes: str) -> Path:
    """Our configuration with these HOST:PORT for each job in place of names, and changes of `global`.

    Jobs without targets are left out. The file is written into the folder.
    """
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["global"] |= changes
    config["rule_files"] = [str(CONFIG.parent / files) for files in config["rule_files"]]
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": list(targets[job["job_name"]])}]}
        for job in config["scrape_configs"]
        if job["job_name"] in targets
    ]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


class Prometheus:
    """One process with its data in a folder; ``config`` is the file that it runs with."""

    def __init__(self, folder: Path, config: Path, options: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.address}",
            *options,
        ]
        self.log = folder / "prometheus.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers. Raises `PrometheusMissing`."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        until = time.monotonic() + _START_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        self.stop()
        raise PrometheusMissing(f"prometheus did not start: {self.log.read_text()[-2_000:]}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query. Raises `QueryFailed`."""
        return list(self.get("query", query=expression)["result"])

    def get(self, path: str, **parameters: str) -> Any:
        """The data of one answer of its API. Raises `QueryFailed`."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise QueryFailed(json.load(error)["error"]) from None


if __name__ == "__main__":
    sys.exit(check())
