"""The machine and the processes on it: versions, cores, CPU time, memory."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

_PACKAGES: Final = ("affectstream", "grpcio", "protobuf", "numpy", "onnxruntime")
_ROOT: Final = Path(__file__).resolve().parent.parent


def versions() -> dict[str, str]:
    """What was measured, with what. Empty where something is not known."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    found["commit"] = _commit()
    found["cpu"] = _cpu_model()
    found["cores"] = str(os.cpu_count() or 0)
    found["kernel"] = platform.release()
    return found


@dataclass(frozen=True, slots=True)
class Cores:
    """The core that each process is pinned to; None: not pinned."""

    server: int | None
    driver: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "not pinned: fewer than two cores, or a system that cannot"
        return f"server pinned to core {self.server}, driver to core {self.driver}"


def choose_cores() -> Cores:
    """The first two cores that this process may use, or none."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores(None, None)
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) >= 2 else Cores(None, None)


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Processes that are started inside run on ``core`` with all their threads."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Reading:
    """A process at one moment."""

    at_s: float
    """`time.monotonic`."""
    cpu_s: float
    """User and system time since the process began, its children's too."""
    rss_kib: float
    others_cpu_s: float
    """User and system time of everything else on the machine."""


class Gauge:
    """Reads a process and its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._own = psutil.Process()

    def read(self) -> Reading:
        """The process now. Raises `psutil.NoSuchProcess` when it is gone."""
        family = [self._process, *self._process.children(recursive=True)]
        cpu_s = sum(_cpu_s(process) for process in family)
        rss_bytes = sum(process.memory_info().rss for process in family)
        machine = psutil.cpu_times()
        busy_s = machine.user + machine.nice + machine.system
        return Reading(time.monotonic(), cpu_s, rss_bytes / 1_024, busy_s - cpu_s - _cpu_s(self._own))


def _cpu_s(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False, timeout=10
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"{commit}+changes" if commit and changed else commit


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
