"""A loop that is stuck says where, from outside, and shows nothing of what it was working on."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, time
from affectstream_server.heartbeat import beat

def think_for_too_long(audio):
    time.sleep({stuck_s})

async def main():
    beating = asyncio.create_task(beat(0.5))
    await asyncio.sleep(0.2)
    think_for_too_long("marked audio")
    beating.cancel()

asyncio.run(main())
"""


def told(stuck_s: float) -> str:
    program = PROGRAM.format(stuck_s=stuck_s)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stderr


def test_the_stack_of_a_stuck_loop_is_shown_without_its_values() -> None:
    stack = told(1.0)
    assert "in think_for_too_long" in stack
    assert "in main" in stack
    assert "marked" not in stack


def test_a_loop_that_beats_says_nothing() -> None:
    assert told(0.1) == ""
