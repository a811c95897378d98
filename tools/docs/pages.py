"""The pages that people wrote, as the site has them: their links lead to other pages of it.

In the repository a page links to files, so that its links work there too. In the site `docs/` is the root, a
linked example is its place on the page of examples, and any other file is a copy of it.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from affectstream.reasons import BRIDGE, CLIENT, SERVER, WARNINGS
from tools.docs import settings

ROOT: Final = Path(__file__).resolve().parents[2]
_MOVED: Final = {
    "docs/README.md": "index.md",
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "protos/affectstream/v1/affect.proto": "reference/proto.md",
    "examples": "examples.md",
}
_LINK: Final = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE: Final = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)
_CODE: Final = re.compile(r"(?<![\[`])`([A-Za-z][\w.]+)`(?![\]`])")


class BrokenLink(Exception):
    """A page links to what is not there."""


def written() -> list[str]:
    """Every page, as a path in the repository."""
    top = [name for name in _MOVED if name.endswith(".md") and "/" not in name]
    return sorted([*top, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))])


def place(page: str) -> str:
    """Where a page of the repository is in the site."""
    return _MOVED.get(page) or page.removeprefix("docs/")


def titles() -> dict[str, str]:
    """Page of the site → what the navigation calls it."""
    sections = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    entries = [entry for section in sections for pages in section.values() for entry in pages]
    return {path: title for entry in entries for title, path in entry.items()}


class Stager:
    """Rewrites pages, and remembers what they link to beside pages."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """Path in the site → file of the repository."""
        self._pages = set(written())
        self._titles = titles()
        self._names = _referenced()

    def page(self, page: str) -> str:
        """The text of a page for the site. Raises `BrokenLink`."""
        here = place(page)
        parts = _FENCE.split((ROOT / page).read_text(encoding="utf-8"))
        return "".join(part if part.startswith("```") else self._linked(part, page, here) for part in parts)

    def _linked(self, text: str, page: str, here: str) -> str:
        text = _LINK.sub(lambda link: self._link(link, page, here), text)
        return _CODE.sub(lambda code: self._reference(code[0], code[1], here), text)

    def _link(self, link: re.Match[str], page: str, here: str) -> str:
        said, path, anchor = link[1], link[2], link[3] or ""
        there = _in_repository(page, path)
        if (ROOT / there).is_dir() and there not in _MOVED:
            return f"`{said}`" if "/" in said else said  # a folder is a place in the repository alone
        target = self._target(path, page, here)
        if said in (path, path + anchor):  # a file's name says nothing in a site
            found = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
            said = self._titles.get(found.partition("#")[0], said)
        return f"[{said}]({target}{anchor})"

    def _target(self, link: str, page: str, here: str) -> str:
        path = _in_repository(page, link)
        if path.startswith("..") or not (ROOT / path).exists():
            raise BrokenLink(f"{page}: {link} is not there")
        if path in self._pages or path in _MOVED:
            return _relative(place(path), here)
        if path.startswith("examples/"):
            return _relative("examples.md", here) + f"#{Path(path).stem}"
        shown = path.startswith("docs/") or Path(path).suffix in (".png", ".svg")
        target = place(path) if shown else f"files/{path}.txt"
        self.files[target] = path
        return _relative(target, here)

    def _reference(self, code: str, name: str, here: str) -> str:
        target = self._names.get(name)
        return f"[{code}]({_relative(target, here)})" if target else code


def _in_repository(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _relative(target: str, here: str) -> str:
    path, _, anchor = target.partition("#")
    found = posixpath.relpath(path, posixpath.dirname(here) or ".")
    return f"{found}#{anchor}" if anchor else found


def _referenced() -> Mapping[str, str]:
    """Names that pages may say in passing, and the place of the reference that explains them."""
    found = dict.fromkeys(WARNINGS, "reference/errors.md#warnings")
    for anchor, reasons in (
        ("from-the-python-client", CLIENT),
        ("from-the-bridge", BRIDGE),
        ("from-the-server", SERVER),
    ):
        found |= dict.fromkeys(reasons, f"reference/errors.md#{anchor}")
    for part in settings.parts():
        found |= {one.key: f"reference/settings.md#{part.name}" for one in part.settings}
    return found
