"""W3C trace context, as text."""

from __future__ import annotations

import re
from typing import Final

EXPECTED: Final = "00-TRACE_ID-SPAN_ID-FLAGS in hexadecimal"
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE_MEMBER: Final = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_STATE_MEMBERS: Final = 32
_STATE_CHARACTERS: Final = 512


def is_traceparent(text: str) -> bool:
    """Whether it is one that names a trace and a span."""
    return _TRACEPARENT.fullmatch(text) is not None


def is_tracestate(text: str) -> bool:
    """Whether it is a list of KEY=VALUE, at most 32 of them and 512 characters."""
    members = [member.strip(" \t") for member in text.split(",")]
    return (
        len(text) <= _STATE_CHARACTERS
        and len(members) <= _STATE_MEMBERS
        and all(_STATE_MEMBER.fullmatch(member) for member in members)
    )
