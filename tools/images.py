"""The Dockerfiles' steps without Docker, as far as they go: `python -m tools.images [FILE…]`.

COPY and RUN are carried out in order, in a folder that stands for the image's root: absolute paths are turned
into it, `python` and `pip` are an environment of their own in place of the base image's. The image's command
is run once with `--check` at the end. What only the base image has is left out, and said.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
FILES: Final = tuple(sorted((ROOT / "deploy").glob("*.Dockerfile")))
LEFT_OUT: Final = {
    r"\binstall\b.* torch$": "its CUDA is the base image's",
    r'"tensorrt==': "its version is the base image's",
}
"""What stands in a command → why it is not run here."""
_INSIDE: Final = re.compile(r"(?<![\w.$}/-])/(?=(app|models|opt|work)\b)")
"""The first slash of a path that is the image's own."""
_NOT_OURS: Final = ("AFFECTSTREAM_", "PYTHON", "VIRTUAL_ENV")
_STEP_S: Final = 900.0


class StepFailed(Exception):
    """A step did not do what it is there for; the message ends with what it said."""


def instructions(file: Path) -> list[tuple[str, str]]:
    """(FROM, python:3.12.1-slim AS build) and so on, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", file.read_text(encoding="utf-8"))
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


class Image:
    """One Dockerfile, carried out in ``folder``, which is empty."""

    def __init__(self, file: Path, folder: Path, context: Path = ROOT) -> None:
        self._file = file
        self._folder = folder
        self._context = context
        self._root = folder / "root"
        self._workdir = self._root
        self._stage = ""
        self._environment: dict[str, str] = {}
        self._entrypoint: list[str] = []

    def steps(self) -> Iterator[tuple[str, str]]:
        """Carry them out: each, and what became of it. Raises `StepFailed`."""
        python = self._folder / "python"
        self._run([sys.executable, "-m", "venv", str(python)], {})
        for word, rest in instructions(self._file):
            match word:
                case "FROM":
                    self._begin(rest, python / "bin")
                    yield f"FROM {rest}", f"Python {sys.version.split()[0]} of this machine in its place"
                case "WORKDIR":
                    self._workdir = self._here(rest)
                    self._workdir.mkdir(parents=True, exist_ok=True)
                case "ENV":
                    for name, _, value in (each.partition("=") for each in shlex.split(rest)):
                        path = _INSIDE.sub(f"{self._root}/", value)
                        self._environment[name] = path.replace("$PATH", self._environment["PATH"])
                case "COPY":
                    self._copy(shlex.split(rest))
                    yield f"COPY {rest}", "done"
                case "RUN":
                    for command in rest.split(" && "):
                        yield f"RUN {command.strip()}", self._carry_out(command)
                case "ENTRYPOINT":
                    self._entrypoint = yaml.safe_load(rest)
                case "CMD":
                    words = [*self._entrypoint, *yaml.safe_load(rest), "--check"]
                    self._run(words, self._environment)
                    yield " ".join(words), "done"
                case _:
                    yield f"{word} {rest}", "left out: there is no container"

    def _begin(self, rest: str, programs: Path) -> None:
        """Another stage: the one before is moved away, so that its paths are those of this one."""
        if self._root.exists():
            self._root.rename(self._folder / (self._stage or "stage"))
        _, _, self._stage = rest.partition(" AS ")
        self._root.mkdir()
        self._workdir = self._root
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
        self._environment = {**kept, "PATH": f"{programs}:/usr/bin:/bin"}

    def _here(self, path: str) -> Path:
        return self._root / path.lstrip("/") if path.startswith("/") else self._workdir / path

    def _copy(self, words: list[str]) -> None:
        stage = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), "")
        *sources, target = (word for word in words if not word.startswith("--"))
        for source in sources:
            found = self._folder / stage / source.lstrip("/") if stage else self._context / source
            to = self._here(target)
            if found.is_dir():
                ignore = None if stage else _of_no_use
                shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            else:
                to = to / found.name if target.endswith("/") else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, to)

    def _carry_out(self, command: str) -> str:
        for pattern, why in LEFT_OUT.items():
            if re.search(pattern, command.strip()):
                return f"left out: {why}"
        if " -o " in command and os.geteuid():
            return "left out: only root may give a folder away"
        self._run(["sh", "-ec", _INSIDE.sub(f"{self._root}/", command)], self._environment)
        return "done"

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        done = subprocess.run(
            command,
            cwd=self._workdir if self._workdir.exists() else self._folder,
            env=dict(environment) or None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_STEP_S,
        )
        if done.returncode:
            raise StepFailed(f"{self._file.name}: {' '.join(command)}\n{done.stdout[-4_000:]}")


def _of_no_use(_: str, names: list[str]) -> set[str]:
    """Of the checkout: what is not in it, but was made there."""
    return {"__pycache__", "node_modules", "build"} & set(names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each step and what became of it."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="default: deploy/*.Dockerfile")
    for file in parser.parse_args(arguments).files or FILES:
        sys.stdout.write(f"{file.name}\n")
        with tempfile.TemporaryDirectory(prefix="affectstream-image-") as folder:
            try:
                for step, became in Image(file, Path(folder)).steps():
                    sys.stdout.write(f"  {became}: {step.replace(folder, '')}\n")
                    sys.stdout.flush()
            except StepFailed as error:
                sys.stderr.write(f"{error}\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
