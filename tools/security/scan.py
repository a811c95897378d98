"""`make scan`: Bandit over the code that ships and the tools, hadolint over the Dockerfiles."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tools.security.accepted import Finding, judge, read

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = ROOT / ".venv-security/bin"
CODE: Final = ("server", "clients/python", "deploy", "tools", "examples")


def main() -> int:
    findings = [*bandit(), *hadolint()]
    lines = judge(findings, read(), {"bandit", "hadolint"}, datetime.now(UTC).date())
    for line in lines:
        print(line)
    print(f"scan: {len(findings)} findings, {len(lines)} to look at")
    return 1 if lines else 0


def bandit() -> list[Finding]:
    """Of the Python code."""
    told = _told([BIN / "bandit", "--quiet", "--format", "json", "--recursive", *CODE])
    if told["errors"]:
        raise RuntimeError(f"bandit could not read {told['errors']}")
    return [
        Finding(
            "bandit", each["test_id"], each["filename"], f"line {each['line_number']}: {each['issue_text']}"
        )
        for each in told["results"]
    ]


def hadolint() -> list[Finding]:
    """Of the Dockerfiles."""
    files = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "deploy").glob("*Dockerfile*"))
    told = _told([BIN / "hadolint", "--no-fail", "--format", "json", *files])
    return [
        Finding("hadolint", each["code"], each["file"], f"line {each['line']}: {each['message']}")
        for each in told
    ]


def _told(command: list[Any]) -> Any:
    """What a scanner says in JSON; its exit status says only that it found something."""
    ended = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        return json.loads(ended.stdout)
    except ValueError:
        raise RuntimeError(f"{command[0]} failed: {ended.stderr[-2_000:]}") from None


if __name__ == "__main__":
    sys.exit(main())
