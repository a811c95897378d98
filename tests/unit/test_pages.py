"""What the pages name exists: tests, files, other pages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(str(page.relative_to(ROOT)) for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))


def functions_of(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def missing(page: str, text: str) -> list[str]:
    """What the page names and is not there."""
    names = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?", text)
    gone = [
        f"{file}::{name}"
        for file, name in names
        if not (ROOT / file).exists() or (name and name not in functions_of(ROOT / file))
    ]
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    return gone + [link for link in links if not ((ROOT / page).parent / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    assert missing(page, (ROOT / page).read_text(encoding="utf-8")) == []


def test_what_is_not_there_is_found() -> None:
    text = (
        "`tests/unit/test_pages.py::test_nothing`, `tests/unit/test_no.py`, [a](docs/no.md), [b](README.md)"
    )
    assert missing("README.md", text) == [
        "tests/unit/test_pages.py::test_nothing",
        "tests/unit/test_no.py::",
        "docs/no.md",
    ]


def test_every_row_of_the_threat_model_names_a_test() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    assert [row for row in rows if "::test_" not in row.rsplit("|", 2)[1]] == []
