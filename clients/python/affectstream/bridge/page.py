"""The files of the page, read once: what is not among them does not exist."""

from __future__ import annotations

import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from aiohttp import web

_TYPES: Final = {
    ".js": "text/javascript",
    ".flac": "audio/flac",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_HEADERS: Final = {
    # Nothing from other hosts, nothing inline; the WebSocket is of this host, too.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


_CHECKOUT: Final = Path(__file__).resolve().parents[3] / "web"
"""Where the page's files stand in a checkout; a wheel has them in ``affectstream/bridge/page``."""


class Page:
    """The page's files and the sample talk, by path."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        packed = files("affectstream.bridge") / "page"
        folder = packed if packed.is_dir() else _CHECKOUT
        if folder.is_dir():
            self._read(folder, "")
        self._add("sample/", files("affectstream") / "samples" / "talk.flac")

    @property
    def paths(self) -> frozenset[str]:
        """What is served, without the first slash."""
        return frozenset(self._files)

    def add_routes(self, app: web.Application) -> None:
        """Serve each file under its path, and ``index.html`` at ``/``."""
        for path in self._files:
            app.router.add_get(f"/{path}", self._answer)
        if "index.html" in self._files:
            app.router.add_get("/", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path.removeprefix("/") or "index.html"]
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=body, content_type=kind, charset=charset, headers=_HEADERS)

    def _read(self, folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                self._read(entry, f"{prefix}{entry.name}/")
            elif not entry.name.startswith((".", "__")):
                self._add(prefix, entry)

    def _add(self, prefix: str, file: Traversable) -> None:
        suffix = f".{file.name.rpartition('.')[2]}"
        kind = _TYPES.get(suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._files[f"{prefix}{file.name}"] = (file.read_bytes(), kind)
