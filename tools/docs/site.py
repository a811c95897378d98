"""Check the built site as a browser would: `python -m tools.docs.site FOLDER`.

Every link, image, script and anchor within it is there, and nothing is fetched from elsewhere.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_LINKS: Final = {"a": "href", "area": "href"}
_FETCHED: Final = {
    "audio": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
_CSS: Final = re.compile(r"""(?:url\(\s*|@import\s+(?!url))["']?([^"')\s]+)""")


@dataclass
class Page(HTMLParser):
    """What a page links to, fetches and can be linked to at."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if given.get(_LINKS.get(tag, "")):
            self.links.append(given[_LINKS[tag]])
        if given.get(_FETCHED.get(tag, "")) and given.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(given[_FETCHED[tag]])


def faults(site: Path) -> list[str]:
    """Every one, with the page that has it."""
    pages = {path: _read(path) for path in site.rglob("*.html")}
    found = []
    for path, page in sorted(pages.items()):
        name = path.relative_to(site)
        found += [f"{name}: fetches {one} from elsewhere" for one in page.fetched if _is_elsewhere(one)]
        for link in (*page.links, *page.fetched):
            if not _is_elsewhere(link) and (fault := _missing(link, path, site, pages)):
                found.append(f"{name}: {link}: {fault}")
    for path in sorted(site.rglob("*.css")):
        fetched = _CSS.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: fetches {one}" for one in fetched if _is_elsewhere(one)]
    return found


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _is_elsewhere(link: str) -> bool:
    parts = urlsplit(link)
    return bool(parts.netloc) or parts.scheme in ("http", "https", "mailto")


def _missing(link: str, path: Path, site: Path, pages: dict[Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme:
        return ""  # data: and the like
    base = site if parts.path.startswith("/") else path.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    anchor = unquote(parts.fragment)
    known = pages[target].anchors if target in pages else set()
    return "no such anchor" if anchor and not anchor.startswith("__") and anchor not in known else ""


if __name__ == "__main__":
    everything = faults(Path(sys.argv[1]).resolve())
    sys.exit("\n".join(everything) if everything else 0)
