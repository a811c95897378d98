"""What scanners say and we live with, each with its reason and the day on which that is looked at again."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "accepted.toml"


@dataclass(frozen=True)
class Finding:
    """What a scanner says of one place."""

    tool: str
    rule: str
    file: str
    """From the checkout's root; of an audit, the package."""
    text: str
    """With the line, or what mends it."""


@dataclass(frozen=True)
class Accepted:
    """A rule that may be broken in these files."""

    tool: str
    rule: str
    files: tuple[str, ...]
    why: str
    until: date

    def covers(self, finding: Finding) -> bool:
        """It is about this."""
        same = (self.tool, self.rule) == (finding.tool, finding.rule)
        return same and any(fnmatch(finding.file, pattern) for pattern in self.files)


def read(file: Path = FILE) -> tuple[Accepted, ...]:
    """All of them. Raises `ValueError` for one without a reason, `KeyError` for one without a field."""
    found = []
    for entry in tomllib.loads(file.read_text(encoding="utf-8"))["accepted"]:
        if not entry["why"].strip():
            raise ValueError(f"{entry['tool']} {entry['rule']}: no reason")
        found.append(
            Accepted(entry["tool"], entry["rule"], tuple(entry["files"]), entry["why"], entry["until"])
        )
    return tuple(found)


def judge(
    findings: Iterable[Finding], accepted: Iterable[Accepted], tools: set[str], today: date
) -> list[str]:
    """What has to be done: findings that nobody accepted, and what is accepted for nothing or for too long.

    ``tools``: those that ran.
    """
    found = list(findings)
    ours = [entry for entry in accepted if entry.tool in tools]
    lines = [
        f"{finding.tool} {finding.rule} {finding.file}: {finding.text}"
        for finding in found
        if not any(entry.covers(finding) for entry in ours)
    ]
    for entry in ours:
        name = f"{entry.tool} {entry.rule} {', '.join(entry.files)}"
        if today > entry.until:
            lines.append(f"{name}: accepted until {entry.until}; look again ({entry.why})")
        if not any(entry.covers(finding) for finding in found):
            lines.append(f"{name}: accepted, and not found any more")
    return lines
