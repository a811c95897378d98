"""The token that a client shows with every call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Final

TokenSource = str | Callable[[], str | Awaitable[str]]
"""A token, or what gives the one of now: it is asked for every call."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")


class Token:
    """A token that no `repr` and no message shows."""

    __slots__ = ("_source",)

    def __init__(self, source: TokenSource) -> None:
        """Raises `ValueError` for one that cannot be sent."""
        self._source = source
        if isinstance(source, str):
            _check(source)

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call. Raises `ValueError` for a token that cannot be sent."""
        source = self._source
        if not isinstance(source, str):
            given = source()
            source = await given if inspect.isawaitable(given) else given
            _check(source)
        return (("authorization", f"Bearer {source}"),)


def _check(token: object) -> None:
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise ValueError("the token must be 1 to 8192 visible ASCII characters, without spaces or line ends")
