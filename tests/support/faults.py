"""Faults that the service must survive, one a row: what must happen, and the figure wanted.

A test of one is marked with it, ``@pytest.mark.fault("slow reader")``, and tells what it saw with the fixture
`figure`. `tests.support.fault_page` writes docs/reliability.md of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Row:
    """One fault."""

    fault: str
    expected: str
    wanted: str = ""
    """The figure; tests assert five times a time."""


ROWS: Final[dict[str, Row]] = {
    "messages out of order": Row(
        "audio before config, second config, empty oneof, audio after the end",
        "INVALID_ARGUMENT, stable reason",
        "stateful property test, 10,000 examples",
    ),
    "garbage": Row(
        "malformed protobuf, garbage TCP",
        "clean refusal, no text leaked",
        "fuzzed for an hour once, a minute in CI, 0 crashes",
    ),
    "wrong audio": Row(
        "wrong rate, encoding, channels; odd bytes; NaN, Inf, huge, empty frames",
        "INVALID_ARGUMENT (empty: ignored, counted)",
        "no NaN ever reaches the model",
    ),
    "message over the limit": Row("message over the limit", "RESOURCE_EXHAUSTED at once"),
    "faster than real time": Row(
        "faster than real time",
        "flow-controlled",
        "≤ 2 s undecided a stream, then gRPC's window, 64 KiB and a message",
    ),
    "slow reader": Row(
        "slow reader", "provisional dropped, finals kept, cut after 5 s", "≤ 256 KiB a stream"
    ),
    "half-close": Row("half-close with `end_of_audio`", "finals, OK", "1,000 of 1,000"),
    "lost call": Row(
        "cancel, kill -9, reset, deadline",
        "no final, Triton call cancelled, state freed",
        "0 tasks, sockets, spans left; ≤ 200 ms",
    ),
    "broken line": Row(
        "bytes that come a few at a time, connections that break after any number of them",
        "the events stay the same; the client goes on with the session",
        "0 finals lost or twice, bounds to the sample",
    ),
    "frozen peer": Row("frozen peer", "noticed", "≤ 20 s"),
    "silent connection": Row("silent TCP; preface only", "closed", "5 s; 60 s"),
    "idle streams": Row("1,000 idle streams", "fine", "≤ 40 KiB each, ≤ 1 % of a core"),
    "opened and cancelled": Row("5,000 opened and cancelled, repeated", "flat memory on the repeat"),
    "limits reached": Row(
        "limits and quotas reached",
        "RESOURCE_EXHAUSTED with retry info; the neighbour of a flood notices nothing",
        "its p99 ≤ 1.5 times its own without the flood, 0 refusals; two tenants, paired",
    ),
    "Triton absent": Row(
        "Triton absent at start", "alive, NOT_READY, streams refused UNAVAILABLE", "< 100 ms"
    ),
    "Triton dies": Row(
        "Triton dies, hangs, restarts mid-stream",
        "the stream lives, each utterance still gets its one final event",
        "back ≤ 2 s after Triton is ready",
    ),
    "Triton slow": Row(
        "Triton slow",
        "deadline for each utterance; breaker opens after 5 failures or half in 10 s, one probe half-open",
        "virtual time",
    ),
    "wrong answers": Row(
        "wrong shape, NaN output, wrong label count", "discarded, counted, MODEL_ERROR", "0 bad events"
    ),
    "bus away": Row(
        "bus (Redis) gone, back", "streams live; watchers told; no event lost within the retention"
    ),
    "SIGTERM": Row(
        "SIGTERM under load",
        "NOT_SERVING, `session_closing`, utterances finish, exit 0",
        "100 % of finals ≤ 10 s",
    ),
    "settings typo": Row("settings typo", "refuses to start, names the key", "all"),
    "TLS": Row(
        "TLS and mTLS: expired, wrong CA, wrong name",
        "handshake refused",
        "matrix with a throw-away CA",
    ),
    "token": Row("token bad, expired, missing", "UNAUTHENTICATED, constant time"),
    "planted": Row("planted secret and planted audio", "found nowhere in logs, spans, statuses, files", "0"),
    "soak": Row(
        "soak, weighted mix; the server stands still now and then",
        "resident memory slope < 1 MiB an hour, 0 unexplained errors, 0 tasks, sockets and files left",
        "30 min",
    ),
    "supply chain": Row("supply chain", "hash-locked installs, SBOM, audit", "0 high"),
    "container": Row(
        "container",
        "non-root, read-only root, no capabilities, memory and pid limits",
        "asserted on the compose file",
    ),
}


@cache
def marked() -> dict[str, list[str]]:
    """Row → its tests as ``tests/…/test_x.py::test_name``, read off the marks in the sources."""
    found: dict[str, list[str]] = {name: [] for name in ROWS}
    for file in sorted(TESTS.rglob("test_*.py")):
        for test, row in _marks(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(row, []).append(f"{file.relative_to(TESTS.parent).as_posix()}::{test}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                for argument in mark.args:
                    assert isinstance(argument, ast.Constant), f"{node.name}: name the row as it is"
                    yield node.name, str(argument.value)
