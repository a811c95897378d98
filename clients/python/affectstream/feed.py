"""From the ring to one call: what the server has not heard, in order, and then what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from affectstream import errors
from affectstream.link import Link
from affectstream.pending import Given, Pending
from affectstream.ring import Ring
from affectstream.session import Session
from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed

_PIECES_A_RING: Final = 40
"""The ring is read in pieces, so that audio that comes meanwhile finds room."""


class Feed:
    """Feeds a call until it ends.

    Args:
        link: The call.
        ring: Audio that was given.
        pending: Controls that were given.
        session: Of the call.
        lost: Told of audio that fell out of the ring before it was fed: its bounds.
        stall_s: The call is given up where the server leaves audio unacknowledged for so long.
        stalled: Told so.
    """

    def __init__(
        self,
        link: Link,
        ring: Ring,
        pending: Pending,
        session: Session,
        *,
        lost: Callable[[int, int], None],
        stall_s: float,
        stalled: Callable[[], None],
    ) -> None:
        self._link = link
        self._ring = ring
        self._pending = pending
        self._session = session
        self._lost = lost
        self._stall_s = stall_s
        self._stalled = stalled
        self._slack = 2 * session.progress_samples
        self._fed_until = max(session.received_until, ring.start)
        self._follows: int | None = None
        self._number = 0
        self._all_said = self._closed = False
        self._given = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._done)

    def more(self) -> None:
        """Something was given."""
        self._given.set()

    def heard(self) -> None:
        """The server is alive."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._watch()

    def all_said(self) -> None:
        """The session is closed: nothing more goes out, though the end may have gone out on a call before."""
        self._all_said = True
        self._given.set()

    async def close(self) -> None:
        """Stop feeding. Raises what went wrong here, which is nothing that a call can do."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._link.cancel()

    async def _run(self) -> None:
        with suppress(WriteFailed, errors.Cancelled):  # of the call, which its reader finds too
            while True:
                self._given.clear()
                control = self._pending.after(self._number)
                until = self._ring.end if control is None else control.at
                if self._fed_until < until:
                    due = self._add_audio(until)
                elif control is not None:
                    due = self._add_control(control)
                elif self._all_said and not self._closed:
                    due = self._add_close()
                else:
                    await self._given.wait()
                    continue
                if due:
                    await self._link.outbox.drain()

    def _add_audio(self, until: int) -> bool:
        """Add the next piece of the audio before `until`; True: it is due now."""
        ring, session = self._ring, self._session
        if self._fed_until < ring.start:
            self._lost(self._fed_until, ring.start)
            self._fed_until = ring.start
        start, data = ring.read(self._fed_until, until, ring.capacity // _PIECES_A_RING)
        if not data:
            self._fed_until = max(self._fed_until, until)
            return False
        self._fed_until = start + ring.frames(data)
        self._watch()
        if start == self._follows:
            due = self._link.outbox.add_audio(data)
        else:
            due = self._link.outbox.add_audio(data, start - session.origin)
            if self._follows is None and start == session.accepted_until:
                self._link.outbox.align(session.blocks_from)
            else:
                session.blocks_from = start - session.origin
        self._follows = self._fed_until
        return due

    def _add_control(self, given: Given) -> bool:
        """Add a control, which is always due."""
        outbox, control = self._link.outbox, given.control
        if self._session.origin:
            control = _counted_from(self._session.origin, control)
        outbox.add(pb.StreamAffectRequest(control=control))
        if control.HasField("end_of_audio"):
            self._add_close()
        self._number = given.number
        return True

    def _add_close(self) -> bool:
        """End our side of the call, which is always due."""
        self._closed = True
        self._link.outbox.add_close()
        return True

    def _watch(self) -> None:
        """Expect to hear something soon, if the server should have acknowledged audio."""
        if self._alarm is None and self._fed_until - self._session.received_until > self._slack:
            self._alarm = asyncio.get_running_loop().call_later(self._stall_s, self._stalled)


def _counted_from(origin: int, given: pb.Control) -> pb.Control:
    """A control of the caller's timeline on that of a session which begins at `origin`."""
    control = pb.Control()
    control.CopyFrom(given)
    if control.HasField("position_samples"):
        control.position_samples = max(0, control.position_samples - origin)
    if control.HasField("transcript"):
        words = control.transcript
        start, end = words.start_samples - origin, words.end_samples - origin
        # Mostly from before the session: of speech that has its final. No span is left; the server says so.
        words.start_samples, words.end_samples = max(0, start), end if start + end > 0 else 0
    return control
