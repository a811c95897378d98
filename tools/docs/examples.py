"""The examples with what they show: one page."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from tools.docs.markdown import page

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"


def render() -> str:
    """The page."""
    parts = ["Each is one file, takes the server's address, and runs as a test."]
    for file in sorted(EXAMPLES.glob("*.py")):
        source = file.read_text(encoding="utf-8")
        about = ast.get_docstring(ast.parse(source)) or ""
        parts += [
            f"## {file.name} {{#{file.stem}}}",
            about.splitlines()[0],
            f"```python\n{source.strip()}\n```",
        ]
    return page("Examples", "examples/", *parts)
