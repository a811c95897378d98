"""So that the log says where a process is stuck: its event loop that answers nobody, or its end."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
from typing import Final

_STUCK_S: Final = 5.0
_END_S: Final = 5.0


async def beat(stuck_s: float = _STUCK_S) -> None:
    """Beat until cancelled. Where a beat is ``stuck_s`` late, every thread's stack goes to stderr, again and
    again: files, lines and functions, and no value of any variable.

    The watching thread is the interpreter's own and needs nothing of the loop. There is one a process.
    """
    try:
        while True:
            faulthandler.dump_traceback_later(stuck_s, repeat=True, file=sys.stderr)
            await asyncio.sleep(stuck_s / 5)
    finally:
        faulthandler.cancel_dump_traceback_later()


def end_soon(end_s: float = _END_S) -> None:
    """Be gone within ``end_s``, in seconds, whatever holds up the interpreter's own end: a task that
    does not let itself be cancelled, a thread that goes on, a library.

    Where it is not, every thread's stack goes to stderr as above, and the exit status is 1.
    """
    faulthandler.dump_traceback_later(end_s, exit=True, file=sys.stderr)
