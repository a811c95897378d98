"""`make audit`: known vulnerabilities of every version in constraints/locked, as PyPI's advisories know them.

Where that service cannot be reached, or does not know a package, this says NOT RUN and for how many: with
``--required``, as a release wants it, that is a failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tools.locks import LOCKS, NOT_LOCKED, locked, pins
from tools.security.accepted import Finding, judge, read
from tools.security.scan import BIN, ROOT

_WITHIN_S: Final = 60
"""A service that is away answers nothing."""


@dataclass(frozen=True)
class Answer:
    """What the service said of the locks."""

    findings: tuple[Finding, ...] = ()
    asked: frozenset[str] = frozenset()
    """NAME VERSION of all that was asked about."""
    unknown: frozenset[str] = frozenset()
    """Of which nothing was said."""
    trouble: str = ""
    """Why it could not be asked; empty: it could."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.security.audit", description=__doc__)
    parser.add_argument("--required", action="store_true", help="fail where it cannot be run")
    args = parser.parse_args()
    answer = ask(versions())
    lines = judge(answer.findings, read(), {"pip-audit"} if not answer.trouble else set(), _today())
    for line in lines:
        print(line)
    told, ran = said(answer)
    print(told)
    return 1 if lines or (args.required and not ran) else 0


def said(answer: Answer) -> tuple[str, bool]:
    """A line for people, and whether the audit was one."""
    if answer.trouble:
        return f"audit: NOT RUN: {answer.trouble}", False
    if answer.unknown:
        known = len(answer.asked) - len(answer.unknown)
        return (
            f"audit: NOT RUN for {len(answer.unknown)} of {len(answer.asked)}: {known} were answered",
            False,
        )
    return f"audit: {len(answer.asked)} packages, {len(answer.findings)} vulnerabilities", True


def versions() -> set[tuple[str, str]]:
    """Name and version of all that is installed anywhere, with what no lock holds."""
    found = {(name, version) for lock in LOCKS for name, (version, _) in locked(lock).items()}
    return found | {(name, pins("models.txt")[name]) for name in NOT_LOCKED}


def ask(wanted: set[tuple[str, str]]) -> Answer:
    """Ask about each; a name that has several versions in several calls, as pip-audit wants it."""
    whole = Answer()
    waiting = sorted(wanted)
    while waiting and not whole.trouble:
        round_ = dict(waiting)
        waiting = [pair for pair in waiting if pair not in round_.items()]
        some = _call("".join(f"{name}=={version}\n" for name, version in round_.items()))
        whole = Answer(
            whole.findings + some.findings,
            whole.asked | some.asked,
            whole.unknown | some.unknown,
            some.trouble,
        )
    return whole


def _call(requirements: str) -> Answer:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [str(BIN / "pip-audit"), "--no-deps", "--disable-pip", "--format", "json", "-r", file.name]
        try:
            ended = subprocess.run(
                [*command, "--progress-spinner", "off"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Answer(trouble=f"no answer within {_WITHIN_S} s")
    try:
        return heard(json.loads(ended.stdout))
    except ValueError:
        return Answer(trouble=next(reversed(ended.stderr.strip().splitlines()), "no answer")[:300])


def heard(told: dict[str, Any]) -> Answer:
    """pip-audit's answer in JSON."""
    asked, unknown, findings = set(), set(), []
    for package in told["dependencies"]:
        if "skip_reason" in package:
            version = package["skip_reason"].rpartition("(")[2].rstrip(")")
            unknown.add(f"{package['name']} {version}")
            asked.add(f"{package['name']} {version}")
            continue
        asked.add(f"{package['name']} {package['version']}")
        findings += [
            Finding("pip-audit", each["id"], package["name"], f"mended in {', '.join(each['fix_versions'])}")
            for each in package["vulns"]
        ]
    return Answer(tuple(findings), frozenset(asked), frozenset(unknown))


def _today() -> Any:
    return datetime.now(UTC).date()


if __name__ == "__main__":
    sys.exit(main())
