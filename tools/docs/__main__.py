"""Write everything that the site is built from: `python -m tools.docs FOLDER`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.docs import commands, examples, limits, proto, python_api, reasons, settings
from tools.docs.pages import ROOT, BrokenLink, Stager, place, written

ASSETS = Path(__file__).parent / "assets"


def generated() -> Iterator[tuple[str, str]]:
    """Path in the site and text of every page that is made from code."""
    contract = proto.contract()
    yield "reference/proto.md", proto.render(contract)
    yield "reference/settings.md", settings.render()
    yield "reference/errors.md", reasons.render()
    yield "reference/limits.md", limits.render()
    yield "reference/cli.md", commands.render()
    yield "examples.md", examples.render()
    for name, (title, about, modules) in python_api.PAGES.items():
        yield f"reference/{name}", python_api.render(title, about, modules)


def fields_without_docstrings() -> dict[str, str]:
    """What is said of each in the proto, or of the one it overrides."""
    comments = {element.name: element.comment for element in proto.elements(proto.contract())}
    return {
        name.path: " ".join(name.inherited.split()) for name in python_api.names(comments) if not name.doc
    }


def stage(out: Path) -> None:
    """Write the site's sources into ``out``, anew. Raises `BrokenLink`."""
    stager = Stager()
    texts = {place(page): stager.page(page) for page in written()} | dict(generated())
    if out.exists():
        shutil.rmtree(out)
    for name, text in texts.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")
    for name, file in stager.files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, out / name)
    shutil.copytree(ASSETS, out / "assets")
    out.with_name("docs-fields.json").write_text(json.dumps(fields_without_docstrings()), encoding="utf-8")


if __name__ == "__main__":
    try:
        stage(Path(sys.argv[1]))
    except BrokenLink as error:
        sys.exit(f"docs: {error}")
