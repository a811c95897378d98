"""docs/reliability.md: each fault, the tests that hold it against the service, and the figures they saw.

`make faults` runs these tests in their long forms, keeps what they saw in tests/faults/seen.json, and writes
the page; `make fuzz-long` does so with tests/fuzz/seen.json. A run of a few of either changes what those say,
and no other.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Final

import pytest

from tests.fuzz import record
from tests.fuzz.record import Fuzzed
from tests.support.faults import ROWS, TESTS, marked

PAGE: Final = TESTS.parent / "docs/reliability.md"
SEEN: Final = TESTS / "faults/seen.json"
_OF_TEST: Final = re.compile(r"[\[@]")
"""After a test's name: its parameters, and pytest-xdist's group."""
_FUZZED: Final = "garbage"
"""The row that the fuzzer is about."""
_HEAD: Final = """\
# Faults it survives

What goes wrong around a server, what it does then, and the tests that fail if it does not. The figures were
seen in the tests' long forms, `make faults`, which writes this page; `make test` has the same tests, a few of
them shorter. A time is asserted at five times the figure wanted: it shows a fault, not a busy machine.

Two cores of a virtual machine, everything over real sockets, with the real Triton and the real Redis.
"""


@dataclass
class Seen:
    """What one test saw, over all its parameters."""

    passed: int = 0
    skipped: int = 0
    failed: int = 0
    figures: list[str] = field(default_factory=list)
    date: str = ""
    commit: str = ""


def gathered(reports: Iterable[pytest.TestReport]) -> dict[str, Seen]:
    """Test → what this run saw of it."""
    today, commit = now()
    found: dict[str, Seen] = {}
    for report in reports:
        if not any(name == "fault" for name, _ in report.user_properties):
            continue
        seen = found.setdefault(_OF_TEST.split(report.nodeid)[0], Seen(date=today, commit=commit))
        seen.passed += report.when == "call" and report.passed
        seen.skipped += report.skipped
        seen.failed += report.failed
        if report.when == "call":
            seen.figures += [str(text) for name, text in report.user_properties if name == "figure"]
    return found


def kept() -> dict[str, Seen]:
    """What was seen before."""
    return {test: Seen(**seen) for test, seen in json.loads(SEEN.read_text(encoding="utf-8")).items()}


def keep(found: Mapping[str, Seen]) -> None:
    """Put what this run saw in the place of what the same tests saw before, and write the page."""
    known = set(chain(*marked().values()))
    everything = {test: seen for test, seen in {**kept(), **found}.items() if test in known}
    text = json.dumps(
        {test: asdict(everything[test]) for test in sorted(everything)}, indent=1, ensure_ascii=False
    )
    SEEN.write_text(text + "\n", encoding="utf-8")
    PAGE.write_text(rendered(everything, record.kept()), encoding="utf-8")


def keep_fuzzed(runs: Mapping[str, Fuzzed]) -> None:
    """The same of long runs of the fuzzer."""
    record.keep(runs)
    keep({})


def rendered(seen: Mapping[str, Seen], fuzzed: Mapping[str, Fuzzed] | None = None) -> str:
    """The page."""
    tests = marked()
    lines = [_HEAD, "| fault | expected | figure wanted | tests that held |", "| --- | --- | --- | --- |"]
    for name, row in ROWS.items():
        held = sum(test in seen and seen[test].passed > 0 == seen[test].failed for test in tests[name])
        of_all = f"{held}" if held == len(tests[name]) else f"**{held} of {len(tests[name])}**"
        lines.append(f"| [{row.fault}](#{_anchor(name)}) | {row.expected} | {row.wanted} | {of_all} |")
    for name, row in ROWS.items():
        lines += [
            "",
            f"## {name[0].upper()}{name[1:]}",
            "",
            f"{_sentence(row.fault)} Expected: {row.expected}.",
        ]
        lines += [f"Wanted: {row.wanted}."] if row.wanted else []
        lines += ["", "| test | figure seen | passed |", "| --- | --- | --- |"]
        lines += [_line(test, seen.get(test)) for test in tests[name]]
        if name == _FUZZED:
            lines += ["", *record.table(fuzzed or {})]
    return "\n".join(lines) + "\n"


def _line(test: str, seen: Seen | None) -> str:
    file, _, name = test.partition("::")
    link = f"[{name.removeprefix('test_').replace('_', ' ')}](../{file})"
    if seen is None:
        return f"| {link} | | not yet run |"
    times = f"{seen.passed} ×, " if seen.passed > 1 else ""
    when = f"{times}{seen.date}, {seen.commit}" if seen.passed else "skipped"
    if seen.failed:
        when = f"**not held**, {seen.date}, {seen.commit}"
    return f"| {link} | {'; '.join(seen.figures)} | {when} |"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def now() -> tuple[str, str]:
    """The day, and the commit that is checked out; with + where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=TESTS, capture_output=True, text=True, check=False
    )
    return datetime.now(UTC).date().isoformat(), done.stdout.strip()
