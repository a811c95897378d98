"""A real Triton on this machine's CPU, without Docker.

PyPI's nvidia-pytriton carries the server's binary and its Python backend; `make triton` installs it as
that, a source of the binary, into `.venv-triton-bin`. Models run in `.venv-triton-models`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parents[2]
REPOSITORY: Final = ROOT / "triton_repo"
BINARY: Final = ROOT / ".venv-triton-bin"
MODELS: Final = ROOT / ".venv-triton-models"

_START_S: Final = 60.0
_STOP_S: Final = 15.0
_PORTS: Final = range(20_000, 32_768)
_LOST_RACE: Final = "boost::interprocess::lock_exception"
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where the Python backend keeps its shared memory


class TritonFailed(Exception):
    """Triton cannot be started; the message says why, and ends with its last words."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one Triton listens on 127.0.0.1."""

    grpc: int
    http: int
    metrics: int

    @classmethod
    def free(cls) -> Ports:
        """Three that nobody has at this moment, from below those that Linux gives to whoever calls out.

        Triton binds them seconds later: one of the others could be some connection's own end by then.
        """
        found: list[int] = []
        while len(found) < 3:
            port = secrets.randbelow(_PORTS.stop - _PORTS.start) + _PORTS.start
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                found.append(port)
        return cls(*found)


class Triton:
    """One tritonserver. `start` returns when its models are ready; `stop` ends it and what it left.

    Models load when they are named, and `repositories` are looked at again only when Triton is asked to.
    """

    def __init__(
        self,
        log: Path,
        *,
        models: Sequence[str] = ("affect_embedded",),
        repositories: Sequence[Path] = (REPOSITORY,),
        ports: Ports | None = None,
        environment: Path = MODELS,
        options: Sequence[str] = (),
    ) -> None:
        self.ports = ports or Ports.free()
        self.address = f"127.0.0.1:{self.ports.grpc}"
        """HOST:PORT of its gRPC."""
        self.models = tuple(models)
        self._log_path = log
        self._repositories = tuple(repositories)
        self._environment = environment
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._shm_prefix = ""

    @property
    def pid(self) -> int:
        """Its process id. It must have been started."""
        assert self._process is not None  # noqa: S101
        return self._process.pid

    def start(self) -> None:
        """Start it and wait for its models. Raises `TritonFailed`."""
        try:
            self.launch()
            self.wait_ready()
        except TritonFailed as failed:
            # Now and then its Python backend loses a race while models load side by side.
            if _LOST_RACE not in str(failed):
                raise
            self.launch()
            self.wait_ready()

    def launch(self) -> None:
        """Start it without waiting. Raises `TritonFailed` where it is not installed."""
        home = _home()
        _put_stub(home, self._environment)
        self._shm_prefix = f"affectstream_{secrets.token_hex(6)}"
        self._log = self._log_path.open("ab")
        self._process = subprocess.Popen(  # noqa: S603 - our own binary with our own options
            [home / "bin/tritonserver", *self._arguments(home)],
            env=self._variables(home),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_ready(self, timeout_s: float = _START_S) -> None:
        """Return when every model is ready. Raises `TritonFailed`."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self._process is None or self._process.poll() is not None:
                self.stop()
                raise TritonFailed(self._told("ended before it was ready"))
            if time.monotonic() > deadline:
                self.stop()
                raise TritonFailed(self._told(f"not ready after {timeout_s:.0f} s"))
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether every named model answers that it is ready."""
        paths = [f"v2/models/{name}/ready" for name in self.models] or ["v2/health/ready"]
        return all(self.http(path) is not None for path in paths)

    def http(self, path: str, data: bytes | None = None) -> str | None:
        """GET, or POST ``data``; the body, or None where it does not answer 200.

        A POST loads a model: that may take as long as a start.
        """
        timeout_s = 5.0 if data is None else _START_S
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{self.ports.http}/{path}", data)
            with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - http://127.0.0.1
                return str(response.read().decode())
        except (OSError, urllib.error.URLError):
            return None

    def metrics(self, model: str) -> dict[str, float]:
        """Triton's own counters of a model: name → sum over versions."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.metrics}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        found: dict[str, float] = {}
        for line in lines:
            if f'model="{model}"' in line:
                name, _, rest = line.partition("{")
                found[name] = found.get(name, 0.0) + float(rest.rpartition(" ")[2])
        return found

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to it, where it runs; after SIGKILL, wait for the end and clean up."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
        if number == signal.SIGKILL:
            if self._process is not None:
                self._process.wait()
            self._clean_up()

    def stop(self) -> None:
        """End it by SIGTERM, or by force where it does not end; nothing of it is left."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._clean_up()

    def _clean_up(self) -> None:
        if self._process is not None:
            # A killed server leaves its stubs for a moment and its shared memory for good.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._log is not None:
            self._log.close()
        if self._shm_prefix:
            for left in _SHARED_MEMORY.glob(f"{self._shm_prefix}*"):
                left.unlink(missing_ok=True)

    def _arguments(self, home: Path) -> list[str]:
        arguments = [f"--model-repository={folder}" for folder in self._repositories]
        arguments += [f"--load-model={name}" for name in self.models]
        for protocol in ("grpc", "http", "metrics"):
            arguments += [
                f"--{protocol}-address=127.0.0.1",
                f"--{protocol}-port={getattr(self.ports, protocol)}",
            ]
        return [
            *arguments,
            "--model-control-mode=explicit",
            "--exit-timeout-secs=3",
            f"--backend-directory={home / 'backends'}",
            f"--cache-directory={home / 'caches'}",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
            *self._options,
        ]

    def _variables(self, home: Path) -> dict[str, str]:
        """The model's Python first on PATH: the backend's stub takes its packages from there."""
        python = self._environment / "bin"
        library = subprocess.run(  # noqa: S603 - the Python of our own environment
            [python / "python", "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        libraries = home.parents[1] / "nvidia_pytriton.libs"
        changed: Mapping[str, str] = {
            "VIRTUAL_ENV": str(self._environment),
            "PATH": f"{python}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": f"{libraries}:{library}",
        }
        return {**os.environ, **changed}

    def _told(self, what: str) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines()[-12:]
        return "\n".join([f"Triton: {what}; its log is {self._log_path} and ends with:", *lines])


def _home() -> Path:
    """The binary's folder inside its environment."""
    found = sorted(BINARY.glob("lib/python3*/site-packages/pytriton/tritonserver"))
    if not found or not (MODELS / "bin/python").exists():
        raise TritonFailed("Triton is not installed here; `make triton-setup` does that")
    return found[-1]


def _put_stub(home: Path, environment: Path) -> None:
    """The Python backend starts a stub that is built for the models' version of Python."""
    version = subprocess.run(  # noqa: S603 - the Python of our own environment
        [environment / "bin/python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    place = home / "backends/python/triton_python_backend_stub"
    if not stub.exists():
        raise TritonFailed(f"this Triton has no stub for Python {version}")
    if not place.exists() or place.read_bytes() != stub.read_bytes():
        new = place.with_name(f".{place.name}.{os.getpid()}")
        shutil.copy2(stub, new)
        new.replace(place)
