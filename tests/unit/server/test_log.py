"""The log: what a line holds, and how many of a kind there are."""

from __future__ import annotations

import json
import logging
import sys

from affectstream_server.observer import WHOSE, Whose
from affectstream_server.telemetry.logging import DROPPED, Json, RateLimit, Text


def record(message: str, *values: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("affectstream_server.x", level, __file__, 1, message, values, None)


def test_a_line_of_json_says_whose_work_it_was() -> None:
    token = WHOSE.set(Whose("call-1", "0af7651916cd43dd8448eb211c80319c"))
    try:
        line = json.loads(Json().format(record("session %s failed", "call-1")))
    finally:
        WHOSE.reset(token)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "affectstream_server.x",
        "message": "session call-1 failed",
        "session_id": "call-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    assert "session_id" not in json.loads(Json().format(record("draining")))


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("line 1\nline 2")
    except ValueError:
        failed = record("it failed")
        failed.exc_info = sys.exc_info()
    text = Json().format(failed)
    assert "\n" not in text
    assert "ValueError: line 1\nline 2" in json.loads(text)["exception"]


def test_of_a_flood_of_one_kind_a_few_are_written_and_the_rest_is_counted() -> None:
    now = 100.0
    limit = RateLimit(3, clock=lambda: now)
    before = DROPPED["WARNING"]
    written = [limit.filter(record("utterance %s: late", n)) for n in range(50)]
    assert sum(written) == 3
    assert DROPPED["WARNING"] - before == 47
    assert limit.filter(record("another kind"))
    now += 10.0
    again = record("utterance %s: late", 50)
    assert limit.filter(again)
    assert json.loads(Json().format(again))["dropped"] == 47
    assert Text("%(message)s").format(again) == "utterance 50: late (47 like it were left out)"
    following = record("utterance %s: late", 51)
    assert limit.filter(following)
    assert Text("%(message)s").format(following) == "utterance 51: late"


def test_kinds_without_end_take_no_memory_without_end() -> None:
    limit = RateLimit(1)
    for number in range(5_000):
        assert limit.filter(record(f"kind {number}"))
    assert len(limit._kinds) == 1_000


def test_without_a_rate_all_are_written() -> None:
    limit = RateLimit(0)
    assert all(limit.filter(record("again")) for _ in range(1_000))
