"""A loop or an end that is stuck says where, from outside, and shows nothing of what it was working on."""

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


HANGS = """
import threading
from affectstream_server.heartbeat import end_soon

def hold_on():
    threading.Event().wait()

end_soon(0.5)
threading.Thread(target=hold_on).start()
"""


def ended(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_an_end_that_hangs_ends_all_the_same_and_says_where() -> None:
    done = ended(HANGS)
    assert done.returncode == 1
    assert "in hold_on" in done.stderr


def test_a_process_that_ends_in_time_says_nothing() -> None:
    done = ended("from affectstream_server.heartbeat import end_soon; end_soon(20)")
    assert (done.returncode, done.stderr) == (0, "")
