"""W3C trace context, as text."""

from __future__ import annotations

import re
from typing import Final

EXPECTED: Final = "00-TRACE_ID-SPAN_ID-FLAGS in hexadecimal"
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Whether it is one that names a trace and a span."""
    return _TRACEPARENT.fullmatch(text) is not None
