"""Cookies: how a proxy leads a session's next call to the replica that holds it.

A session lives in one process. A proxy before several sets a cookie with a call's first headers, and sends a
call that shows it to the same one. A call that begins a session shows none, and goes where there is room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc

MAX_BYTES: Final = 4_096
"""Of all cookies of one call; what goes beyond is not kept."""


def kept(headers: Iterable[tuple[str, str | bytes]], before: str = "") -> str:
    """The cookies to show next time, as ``name=value; name=value``.

    Args:
        headers: A call's first headers, of which those named set-cookie count.
        before: What the call itself showed: it holds on where the headers do not set it anew.
    """
    jar = _pairs(before.split(";"))
    values = (value for key, value in headers if key == "set-cookie" and isinstance(value, str))
    jar |= _pairs(value.partition(";")[0] for value in values)
    shown = ""
    for name, value in jar.items():
        longer = f"{shown}; {name}={value}" if shown else f"{name}={value}"
        if len(longer) <= MAX_BYTES:
            shown = longer
    return shown


def shown(metadata: grpc.aio.Metadata, cookies: str) -> grpc.aio.Metadata:
    """The metadata of a call with its cookies, unless the caller has put some there."""
    if not cookies or any(key == "cookie" for key, _ in metadata):
        return metadata
    return metadata + grpc.aio.Metadata(("cookie", cookies))


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    split = (text.partition("=") for text in texts)
    return {name.strip(): value.strip() for name, _, value in split if name.strip()}
