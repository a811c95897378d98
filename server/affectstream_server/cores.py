"""How many cores this process may use: those it may run on, or its container's share of them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MOUNT: Final = "sys/fs/cgroup"


def cores(root: Path = Path("/")) -> int:
    """At least 1. Part of a core is none: who takes it is stopped for the rest of each tenth of a second.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    share = quota(root)
    return allowed if share is None else max(1, min(allowed, math.floor(share)))


def quota(root: Path) -> float | None:
    """The smallest CPU quota of this process's control groups and those around them, in cores; None: none."""
    quotas = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
        for folder in _folders(root, controllers, group):
            words = [word for file in files for text in _lines(folder / file) for word in text.split()]
            quotas.append(_ratio(words))
    return min((found for found in quotas if found is not None), default=None)


def _folders(root: Path, controllers: str, group: str) -> Iterator[Path]:
    """Of the group, and of each around it. A container sees its own as the outermost, under whatever name."""
    if controllers and "cpu" not in controllers.split(","):
        return
    for mount in {root / _MOUNT / controllers, root / _MOUNT / ("cpu" if controllers else "")}:
        parts = [part for part in group.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            yield mount.joinpath(*parts[:depth])


def _ratio(words: list[str]) -> float | None:
    """Of time in each period; None: no limit, said as 'max', as -1, or by nothing."""
    try:
        time, period = (int(word) for word in words)
    except ValueError:
        return None
    return time / period if time > 0 and period > 0 else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
