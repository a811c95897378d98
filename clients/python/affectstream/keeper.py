"""One stream over as many calls as it takes.

One task opens calls and reads their events, and for each call another feeds it with what was given. The
caller's own task only puts audio into the ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from affectstream import errors, events, states
from affectstream.config import AudioFormat
from affectstream.dialer import Answered, Dialer
from affectstream.events import ControlDone, Event, SessionStarted
from affectstream.feed import Feed
from affectstream.link import STATUS_S, Link, not_open
from affectstream.mailbox import Mailbox
from affectstream.pending import Pending
from affectstream.reconnect import Reconnect
from affectstream.ring import Ring
from affectstream.session import Session
from affectstream.states import Lost, State
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import NS_PER_S, AudioTime

END_ID: Final = "end"
"""`control_id` of the end of audio."""


class Keeper:
    """A `Line` that reconnects.

    Args:
        dialer: Makes the calls.
        audio: What the audio is: PCM.
        policy: How much is kept, and who waits.
    """

    def __init__(self, dialer: Dialer, audio: AudioFormat, policy: Reconnect) -> None:
        self._dialer = dialer
        self._audio = audio
        self._policy = policy
        self._ring = Ring(audio.frame_bytes or 1, round(policy.ring_s * audio.sample_rate_hz))
        self._pending = Pending()
        self._turn = asyncio.Lock()
        self._mailbox = Mailbox()
        self._heard: Callable[[Event], None] = lambda _: None
        self._session: Session | None = None
        self._furthest = (0, 0)
        self._feed: Feed | None = None
        self._caught_up = False
        self._cause: errors.AffectStreamError | None = None
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._state: State | None = None
        self.lost_samples = 0
        """See `Line.lost_samples`."""

    @property
    def inbox(self) -> Mailbox:
        """See `Line.inbox`."""
        self._of_session()
        return self._mailbox

    @property
    def position(self) -> int:
        """See `Line.position`."""
        self._of_session()
        return self._ring.end

    @property
    def started(self) -> SessionStarted:
        """See `Line.started`."""
        return self._of_session().started

    @property
    def state(self) -> State:
        """See `Line.state`."""
        if self._state is None:
            raise not_open()
        return self._state

    async def open(self, heard: Callable[[Event], None]) -> SessionStarted:
        """See `Line.open`. The first call is not tried again."""
        if self._session is not None:
            raise RuntimeError("a stream is used once: make another with `client.stream`")
        self._heard = heard
        link, started = await self._dialer.first()
        self._session = Session(started, self._audio.sample_rate_hz, origin=0)
        self._state = states.Connected(session_id=started.session_id)
        self._link = link
        self._task = asyncio.get_running_loop().create_task(self._keep(link))
        return started

    async def send(self, data: bytes, start: int | None) -> None:
        """See `Line.send`. Waits as `Reconnect.wait_when_full` says."""
        step = max(1, self._ring.capacity // 8) * (self._audio.frame_bytes or 1)
        async with self._turn:
            for first in range(0, len(data), step):
                piece = data[first : first + step]
                frames = self._ring.frames(piece)
                while self._must_wait(frames):
                    await self._mailbox.change()
                if self._mailbox.ended:
                    raise errors.StreamClosed("the stream has ended: nothing more can be sent")
                self._ring.add(piece, start)
                start = None if start is None else start + frames
                self._given()
                await asyncio.sleep(0)  # who sends without a pause must let the call be fed

    async def control(self, control: pb.Control) -> None:
        """See `Line.control`. Waits only for a `send` that waits."""
        async with self._turn:
            self._pending.add(control, self._ring.end)
            if control.HasField("audio_resumed") and control.HasField("position_samples"):
                self._ring.jump(control.position_samples)
            self._given()

    async def end(self) -> None:
        """See `Line.end`. Waits only for a `send` that waits."""
        async with self._turn:
            if not self._pending.is_ended:
                end = pb.Control(control_id=END_ID, end_of_audio=pb.EndOfAudio())
                self._pending.add(end, self._ring.end)
                self._given()

    def cancel(self) -> None:
        """See `Line.cancel`."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """See `Line.close`."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        if self._link is not None:
            self._link.cancel()  # of a task that had not begun
        self._mailbox.events.clear()

    # -- what the caller gives ---------------------------------------------------------------------

    def _given(self) -> None:
        if self._feed is not None:
            self._feed.more()

    def _must_wait(self, frames: int) -> bool:
        """Audio that may be wanted again would fall out, and waiting is what helps."""
        if self._mailbox.ended:
            return False
        session, capacity = self._of_session(), self._ring.capacity
        if self._policy.wait_when_full:
            # For a new session, of speech without a final event, as far as that leaves room to go on.
            wanted_from = max(session.final_until, session.received_until - capacity // 2)
            return self._ring.end + frames - wanted_from > capacity
        waiting = self._ring.end - session.received_until
        self._caught_up = self._caught_up or (self._feed is not None and waiting <= capacity // 2)
        return self._caught_up and waiting + frames > capacity

    # -- one call ----------------------------------------------------------------------------------

    async def _keep(self, link: Link) -> None:
        error: errors.AffectStreamError | None = None
        try:
            while (cause := await self._converse(link)) is not None:
                answered = await self._dialer.again(link, cause, self._of_session(), self._say)
                self._adopt(answered)
                link = self._link = answered.link
        except errors.AffectStreamError as failure:
            error = failure
        except Exception as fault:  # noqa: BLE001 - such as of the caller's own token function
            error = errors.AffectStreamError(f"the stream failed here: {type(fault).__name__}")
            error.__cause__ = fault
        finally:
            self._state = states.Ended(session_id=self.started.session_id, cause=error)
            self._mailbox.end(error)

    async def _converse(self, link: Link) -> errors.AffectStreamError | None:
        """Feed and read one call. Returns why the stream is not at its end yet, when the call is."""
        session = self._of_session()
        link.on_end(self._mailbox.wake)
        self._cause = None
        feed = self._feed = Feed(
            link,
            self._ring,
            self._pending,
            session,
            lost=self._lost_while_fed,
            stall_s=self._policy.stall_s,
            stalled=lambda: self._give_up(link),
        )
        began_s = asyncio.get_running_loop().time()
        try:
            await self._read(link, session, feed)
        finally:
            lived_s = asyncio.get_running_loop().time() - began_s
            progress = (session.received_until, session.final_until)
            stalled = isinstance(self._cause, errors.TimedOut)
            if progress > self._furthest or (lived_s > self._policy.max_delay_s and not stalled):
                self._furthest = max(progress, self._furthest)
                self._dialer.went_well()
            self._feed, self._caught_up = None, False
            link.cancel()
            await feed.close()
            await link.close()
        if session.is_closed:
            return None
        return self._cause or link.inbox.error or errors.StreamClosed("the server ended the call too early")

    async def _read(self, link: Link, session: Session, feed: Feed) -> None:
        while not link.inbox.ended:
            while self._mailbox.is_full and not link.is_done:
                await self._mailbox.change()
            if self._mailbox.is_full:
                self._cause = self._cause or await link.why()
                return
            try:
                async with asyncio.timeout(STATUS_S if session.is_closed else None):
                    await link.inbox.more()
            except TimeoutError:
                return  # all was said, and only the status is missing
            while link.inbox.events:
                event = link.inbox.take()
                if session.take(event):
                    self._hand_out(event)
            feed.heard()
            if session.is_closed:
                feed.all_said()

    def _hand_out(self, event: Event) -> None:
        if isinstance(event, ControlDone | events.Warning):
            self._pending.acknowledge(event.control_id)
        self._heard(event)
        self._mailbox.put(event)

    def _give_up(self, link: Link) -> None:
        if self._mailbox.is_full:
            return  # nobody reads here, so nothing is heard
        self._cause = errors.TimedOut(f"the server acknowledged no audio for {self._policy.stall_s:g} s")
        link.cancel()

    # -- from call to call -------------------------------------------------------------------------

    def _adopt(self, answered: Answered) -> None:
        """A call stands again: tell what became of the session."""
        before, started = self._of_session(), answered.started
        if started.resumed:
            before.continue_with(started)
            lost = self._lost(before.received_until, self._ring.start)
            before.received_until = max(before.received_until, self._ring.start)
            self._say(
                states.Resumed(
                    session_id=started.session_id,
                    attempts=answered.attempts,
                    outage_s=answered.outage_s,
                    lost=lost,
                )
            )
        else:
            lost = self._lost(before.final_until, self._ring.start)
            origin = max(before.final_until, self._ring.start)
            self._pending.begin_anew()
            self._session = Session(started, self._audio.sample_rate_hz, origin)
            self._say(
                states.NewSession(
                    session_id=started.session_id,
                    attempts=answered.attempts,
                    previous_session_id=before.started.session_id,
                    origin_samples=origin,
                    origin=AudioTime(round(origin * NS_PER_S / self._audio.sample_rate_hz)),
                    outage_s=answered.outage_s,
                    lost=lost,
                )
            )
        self._mailbox.put(started)

    def _lost(self, start: int, end: int) -> Lost | None:
        """Note what no server will hear."""
        if end <= start:
            return None
        self.lost_samples += end - start
        return Lost(start, end, (end - start) / self._audio.sample_rate_hz)

    def _lost_while_fed(self, start: int, end: int) -> None:
        lost = self._lost(start, end)
        if lost is not None:
            self._mailbox.put(states.AudioLost(session_id=self.started.session_id, lost=lost))

    def _say(self, state: State) -> None:
        self._state = state
        self._mailbox.put(state)

    def _of_session(self) -> Session:
        if self._session is None:
            raise not_open()
        return self._session
