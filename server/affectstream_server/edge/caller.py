"""Whose call this is, from the interceptor that found out to the handler that is called."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from affectstream_server.auth import ANONYMOUS, Identity

CALLER: Final[ContextVar[Identity]] = ContextVar("caller", default=ANONYMOUS)
"""Set before a handler runs, in the context of its call alone."""
