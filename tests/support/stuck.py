"""What a test that ran out of time was waiting for: its own stack ends in the event loop's."""

from __future__ import annotations

import asyncio
import gc
from types import FrameType
from typing import Any

import pytest


def add_to(report: pytest.TestReport) -> None:
    """Say it in the report, if that is what ended the test."""
    if report.failed and "from pytest-timeout" in report.longreprtext:
        report.sections.append(("tasks that wait", "\n".join(_waiting()) or "none"))


def _waiting() -> list[str]:
    tasks = [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]
    return [f"{task.get_name()}: {' > '.join(_stack(task.get_coro()))}" for task in tasks]


def _stack(waiting: Any) -> list[str]:
    """Of a coroutine or an asynchronous generator, from the outermost call to the innermost."""
    lines = []
    while waiting is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(waiting, f"{kind}_frame")), "")
        frame: FrameType | None = getattr(waiting, f"{kind}_frame", None)
        if frame is not None:
            code = frame.f_code
            lines.append(f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{frame.f_lineno})")
        waiting = getattr(waiting, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
    return lines
