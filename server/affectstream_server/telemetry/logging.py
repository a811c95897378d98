"""The log: text for people or JSON for machines, each kind of message at a bounded rate.

A kind is the text before values are put in. What comes above its rate is counted, and the next record of the
kind that is written says how many were left out.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from affectstream_server.observer import WHOSE
from affectstream_server.settings import LoggingSettings

DROPPED: Final[Counter[str]] = Counter()
"""Records of this process that were left out, by level."""

_WINDOW_S: Final = 10.0
_KINDS: Final = 1_000
"""Remembered; of one that is forgotten, its window begins anew."""
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure(settings: LoggingSettings) -> None:
    """Write the log of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RateLimit(settings.burst))
    handler.setFormatter(Json() if settings.format == "json" else Text(_TEXT))
    logging.basicConfig(level=settings.level, handlers=[handler])


@dataclass(slots=True)
class _Kind:
    began: float
    count: int = 0
    dropped: int = 0


class RateLimit(logging.Filter):
    """At most ``burst`` records of a kind in 10 s; 0: any number."""

    def __init__(self, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst = burst
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, int, str], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written; one that is carries ``dropped``, of its kind since the one before."""
        now = self._clock()
        key = (record.name, record.levelno, str(record.msg))
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(now)
            if len(self._kinds) > _KINDS:
                self._kinds.popitem(last=False)
        elif now - kind.began >= _WINDOW_S:
            kind.began, kind.count = now, 0
        kind.count += 1
        if self._burst and kind.count > self._burst:
            kind.dropped += 1
            DROPPED[record.levelname] += 1
            return False
        record.dropped, kind.dropped = kind.dropped, 0
        return True


class Text(logging.Formatter):
    """One line a record, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """As text."""
        dropped = getattr(record, "dropped", 0)
        text = super().format(record)
        return f"{text} ({dropped} like it were left out)" if dropped else text


class Json(logging.Formatter):
    """One JSON object a line. `session_id` and `trace_id` are there where the work was somebody's."""

    def format(self, record: logging.LogRecord) -> str:
        """As JSON."""
        whose = WHOSE.get()
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if whose.session_id:
            told["session_id"] = whose.session_id
        if whose.trace_id:
            told["trace_id"] = whose.trace_id
        if dropped := getattr(record, "dropped", 0):
            told["dropped"] = dropped
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)
