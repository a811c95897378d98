"""What must hold of whatever a target says about whatever it was given."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from affectstream import errors
from affectstream.reasons import BRIDGE, SERVER, WARNINGS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import ServiceError

MOST_CPU_S: Final = 2.0
"""Of this process for one input. A usual one takes milliseconds; a busy machine does not count."""

_INTERNAL: Final = re.compile(
    r"Traceback|site-packages|File \"|object at 0x|<class |\b[A-Z]\w*(?:Error|Exception|Warning)\b"
    r"|/(?:usr|home|root|tmp|dev|opt|proc)/|google\.protobuf|pydantic|_pb2|\w\.py\b|\bNoneType\b"
)
_NOT_FINITE: Final = re.compile(r": -?(?:nan|inf)(?:inity)?$", re.MULTILINE | re.IGNORECASE)


class Found(AssertionError):
    """A fault: what the fuzzer reports, and what fails the test that plays the input again."""


@contextmanager
def watched() -> Iterator[None]:
    """Raise `Found` for an error in the log, and for an input that takes too long."""
    seen = _Seen()
    root = logging.getLogger()
    root.addHandler(seen)
    began = time.process_time()
    try:
        yield
    finally:
        took_s = time.process_time() - began
        root.removeHandler(seen)
    if seen.records:
        record = seen.records[0]
        cause = record.exc_info[1] if record.exc_info else None
        raise Found(f"logged as an error: {record.getMessage()}") from cause
    if took_s > MOST_CPU_S:
        raise Found(f"took {took_s:.1f} s of CPU, at most {MOST_CPU_S:g} s")


def check_text(text: str, given: bytes) -> None:
    """Nothing of our insides, but what the caller said itself."""
    for match in _INTERNAL.finditer(text):
        if match.group(0).encode() not in given:
            raise Found(f"{match.group(0)!r} in {text[:500]!r}")
    text.encode()  # whoever reads it gets UTF-8


def check_refusal(error: ServiceError, given: bytes) -> None:
    """A server's error: in the catalogue, with its status, and safe to show."""
    known = SERVER.get(error.reason)
    if known is None or known.status != error.status or error.reason == "INTERNAL_FAULT":
        raise Found(f"{error.status} {error.reason}: {error.message}")
    for text in (error.message, error.field, error.value, error.limit):
        check_text(text, given)


def check_bridge_error(error: errors.AffectStreamError, given: bytes) -> None:
    """The same of a bridge's."""
    known = BRIDGE.get(error.reason)
    status = error.status.name if error.status else ""
    if known is None or known.status != status or error.reason == "INTERNAL_FAULT":
        raise Found(f"{status} {error.reason}: {error.message}")
    for text in (error.message, error.field, error.value, error.limit):
        check_text(text, given)


def check_events(events: list[pb.SessionEvent], given: bytes) -> None:
    """In order, numbers that are numbers, warnings of the catalogue, no utterance with two finals."""
    finals: set[str] = set()
    before = 0
    for event in events:
        if not event.HasField("session_started"):  # a resumed one is newer than what comes again after it
            if event.sequence <= before:
                raise Found(f"sequence {event.sequence} after {before}")
            before = event.sequence
        check_event(event, given)
        if event.HasField("affect") and event.affect.stage == pb.STAGE_FINAL:
            if event.affect.utterance_id in finals:
                raise Found(f"two finals of {event.affect.utterance_id}")
            finals.add(event.affect.utterance_id)


def check_event(event: pb.SessionEvent | pb.AffectEvent, given: bytes) -> None:
    """One event."""
    text = str(event)
    if _NOT_FINITE.search(text):
        raise Found(f"no number: {text}")
    if isinstance(event, pb.SessionEvent) and event.HasField("warning"):
        if event.warning.code not in WARNINGS:
            raise Found(f"warning {event.warning.code}")
        check_text(event.warning.message, given)


class _Seen(logging.Handler):
    """What a process says of itself when it failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
