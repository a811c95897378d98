"""The processes of the compose files on this machine, without Docker, as far as packages have them.

    python -m tools.stack --profile cpu                  everything, until Ctrl-C
    python -m tools.stack --layer deploy/bus.compose.yml

Command lines, environments and checks of health are read from the files. Changed are addresses (a free port
of 127.0.0.1 for each of a container's), folders (a volume's source for its target), and Triton's backend: its
package has no ONNX Runtime inside, so it runs the Python one. Not started: jobs, and what no package has.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.compose import LAYERS, MAIN, ROOT, Service, entrypoint, services
from tools.prometheus import program, read_by
from tools.triton.server import Ports, Triton

NOT_HERE: Final = {
    "models": "a job that fills a volume: Triton reads triton_repo itself",
    "collector": "no package of it",
    "jaeger": "no package of it",
    "grafana": "no package of it",
}
_WAIT_S: Final = 90.0
_STOP_S: Final = 20.0
_TRITON: Final = (
    "--model-repository",
    "--model-control-mode",
    "--exit-timeout-secs",
    "--model-config-name",
    "--load-model",
)
"""Options that `Triton` gives itself, from the same repository."""


class StackFailed(Exception):
    """A part did not start or is not well; the message names it and ends with its log."""


class Stack:
    """Every part that can run here, started in order, each when those before it are healthy."""

    def __init__(self, files: Sequence[str], profile: str, folder: Path) -> None:
        self._folder = folder
        self.services = services(files, profile)
        self.skipped = {name: NOT_HERE[name] for name in self.services if name in NOT_HERE}
        self._places: dict[tuple[str, str], str] = {}
        self._running: dict[str, subprocess.Popen[bytes] | Triton] = {}
        for name, service in self.services.items():
            self._place(name, service)

    def address(self, name: str, port: int) -> str:
        """Where a container's port is here: HOST:PORT."""
        return self._places[name, str(port)]

    def start(self) -> None:
        """Start all. Raises `StackFailed`."""
        for name, service in self.services.items():
            if name in self.skipped:
                continue
            began = time.monotonic()
            self._start(name, service)
            while not self.healthy(name):
                self._alive(name)
                if time.monotonic() - began > _WAIT_S:
                    raise StackFailed(f"{name}: not healthy after {_WAIT_S:.0f} s\n{self._words(name)}")
                time.sleep(0.3)
            sys.stderr.write(f"stack: {name} is healthy after {time.monotonic() - began:.1f} s\n")

    def stop(self) -> None:
        """End all, the last first."""
        for process in reversed(self._running.values()):
            if isinstance(process, Triton):
                process.stop()
                continue
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def healthy(self, name: str) -> bool:
        """What the container's own check of health says."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        if kind == "CMD-SHELL":
            words = shlex.split(words[0])
        words = [self._mapped(name, word) for word in words]
        if words[0] in ("curl", "wget"):
            try:
                with urllib.request.urlopen(words[-1], timeout=5):
                    return True
            except (OSError, urllib.error.URLError):
                return False
        if words[0] == "python":
            words[0] = sys.executable
        done = subprocess.run(
            words, env=self._environment(name), capture_output=True, timeout=20, check=False
        )
        return done.returncode == 0

    def command(self, name: str) -> list[str]:
        """The container's command line, as it runs here."""
        service = self.services[name]
        words = [self._mapped(name, word) for word in [*entrypoint(service), *service.get("command", ())]]
        if words[0] == "affectstream":
            return [sys.executable, "-m", "affectstream.cli", *words[1:]]
        if words[0] == "python":
            return [sys.executable, *words[1:]]
        if service["image"].startswith("prom/prometheus:"):
            config = read_by(self._targets(), self._folder, evaluation_interval="1s", scrape_interval="1s")
            return [program("prometheus"), *(_config(word, config) for word in words)]
        return words

    def _start(self, name: str, service: Service) -> None:
        if service["image"].startswith("nvcr.io/nvidia/tritonserver:"):
            self._running[name] = self._triton(name, service)
            return
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self.command(name), env=self._environment(name), stdout=log, stderr=log, cwd=self._folder
            )

    def _triton(self, name: str, service: Service) -> Triton:
        words = [self._mapped(name, word) for word in [*service["entrypoint"][1:], *service["command"]]]
        http, grpc, metrics = (
            int(self.address(name, port).rpartition(":")[2]) for port in (8000, 8001, 8002)
        )
        triton = Triton(
            self._folder / f"{name}.log",
            models=[word.partition("=")[2] for word in words if word.startswith("--load-model=")],
            ports=Ports(grpc=grpc, http=http, metrics=metrics),
            options=[word for word in words if not word.startswith(_TRITON)],
        )
        triton.launch()
        return triton

    def _targets(self) -> dict[str, list[str]]:
        """Prometheus' jobs, with what has the name that each asks for."""
        found: dict[str, list[str]] = {"affectstream": [], "triton": []}
        for name in self.services:
            if (name, "9464") in self._places:
                found["affectstream"].append(self.address(name, 9464))
            if (name, "8002") in self._places:
                found["triton"].append(self.address(name, 8002))
        return found

    def _place(self, name: str, service: Service) -> None:
        for port in _ports(service):
            place = f"127.0.0.1:{Ports.free().http}"
            for alias in (name, *_aliases(service)):
                self._places[alias, port] = place

    def _mapped(self, name: str, word: str) -> str:
        """A word of a command or a variable's value, with this machine's addresses and folders."""
        own = {port: place for (owner, port), place in self._places.items() if owner == name}

        def here(found: re.Match[str]) -> str:
            host, port = found[1], found[2]
            if host in ("0.0.0.0", "127.0.0.1"):  # noqa: S104 - of a container
                return own.get(port, found[0])
            return self._places.get((host, port), found[0])

        if word in own:
            return own[word].rpartition(":")[2]
        word = re.sub(r"(?<![\w.-])([a-z][a-z-]*|(?:\d+\.){3}\d+):(\d+)\b", here, word)
        for source, target in self._volumes(name):
            word = re.sub(rf"(?<![\w.]){re.escape(target)}(?=/|$|\s)", source, word)
        return word

    def _volumes(self, name: str) -> Iterator[tuple[str, str]]:
        for volume in self.services[name].get("volumes", ()):
            source, target = volume.split(":")[:2]
            if source.startswith((".", "/")):
                yield str((ROOT / source).resolve()), target
            else:
                (self._folder / source).mkdir(exist_ok=True)
                yield str(self._folder / source), target

    def _environment(self, name: str) -> Mapping[str, str]:
        own = self.services[name].get("environment", {})
        passed = {key: value for key, value in os.environ.items() if not key.startswith("AFFECTSTREAM_")}
        mapped = {key: self._mapped(name, str(value)) for key, value in own.items()}
        return passed | {"TMPDIR": str(self._folder)} | mapped

    def _alive(self, name: str) -> None:
        process = self._running[name]
        if not isinstance(process, Triton) and process.poll() is not None:
            raise StackFailed(f"{name}: ended with exit status {process.returncode}\n{self._words(name)}")

    def _words(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")[-2_000:]


def _ports(service: Service) -> list[str]:
    """Every port that a container listens on: published, or named for the others."""
    return [*(port.rpartition(":")[2] for port in service.get("ports", ())), *service.get("expose", ())]


def _aliases(service: Service) -> list[str]:
    networks = service.get("networks") or {}
    return [alias for options in networks.values() for alias in (options or {}).get("aliases", ())]


def _config(word: str, config: Path) -> str:
    return f"--config.file={config}" if word.startswith("--config.file=") else word


def main(arguments: Sequence[str] | None = None) -> int:
    """Start what can run here, say where it is, and wait."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", default="embedded", choices=("embedded", "cpu"))
    parser.add_argument("--layer", action="append", choices=LAYERS, help="default: all of them")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="affectstream-stack-"))
    stack = Stack([MAIN, *(args.layer or LAYERS)], args.profile, folder)
    try:
        stack.start()
        for name, why in stack.skipped.items():
            sys.stdout.write(f"{name}: not started: {why}\n")
        for name, service in stack.services.items():
            for port in _ports(service) if name not in stack.skipped else ():
                sys.stdout.write(f"{name}:{port} is {stack.address(name, int(port))}\n")
        sys.stdout.flush()
        signal.pause()
    except StackFailed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
